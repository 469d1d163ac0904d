"""What two descriptions of the same messages must agree on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto


def fields_of(messages: Iterable[DescriptorProto], within: str = "") -> dict[str, list[list[Any]]]:
    """Number, name, type and label of every field, by message; nested ones as ``Outer.Inner``."""
    fields: dict[str, list[list[Any]]] = {}
    for message in messages:
        name = within + message.name
        fields[name] = [[f.number, f.name, f.type, f.label] for f in message.field]
        fields |= fields_of(message.nested_type, f"{name}.")
    return fields
