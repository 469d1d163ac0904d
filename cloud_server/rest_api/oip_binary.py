"""An inference request in an HTTP body, and the reply: JSON, with or without raw tensors behind it.

    body    = JSON [raw tensor]...      in the order of the JSON's inputs (reply: outputs)
    header    Inference-Header-Content-Length: bytes of the JSON; absent where that is all

This is the binary tensor data extension. A raw input says its size, ``binary_data_size``; an output
is raw where ``binary_data`` (of the output) or ``binary_data_output`` (of the request) asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from splitfer.cloud_server.oip.models import OipModel
from splitfer.cloud_server.oip.tensor import Contents, InputTensor, OutputTensor
from splitfer.cloud_server.rest_api.oip_schema import InferBody, RequestInput
from splitfer.shared.errors import MalformedPayload, PayloadTooLarge

# Reading JSON keeps every other caller waiting, and its values take 40 times the bytes of a raw
# tensor's. Room for as many latents as may come, or eight crops.
MOST_JSON_BYTES = 2 * 2**20
_OBJECTS_MAX = 256
# Of Python's objects that JSON becomes, by what stands in it for each: a comma, a quote, a list.
_VALUE_BYTES, _QUOTE_BYTES, _LIST_BYTES = 48, 40, 144


@dataclass(frozen=True)
class HttpInfer:
    """A request that was read; ``raw_outputs`` by the name of the output, else ``raw_output``."""

    id: str
    parameters: dict[str, Any]
    inputs: list[InputTensor]
    outputs: list[str]
    raw_outputs: dict[str, bool]
    raw_output: bool


def read_infer(body: bytes, header_length: str | None) -> HttpInfer:
    """What a body asks; ``header_length`` is the header, None where it is absent.

    Raises:
        MalformedPayload: not such a body; the message says where.
        PayloadTooLarge: its JSON is over ``MOST_JSON_BYTES``.
    """
    size = _json_bytes(body, header_length)
    try:
        asked = InferBody.model_validate_json(body[:size])
    except ValidationError as error:
        raise MalformedPayload(_said(error)) from error
    raw = memoryview(body)[size:]
    inputs = []
    for one in asked.inputs:
        contents, raw = _contents(one, raw)
        inputs.append(InputTensor(one.name, one.datatype, one.shape, contents))
    if raw:
        raise MalformedPayload(f"{len(raw)} bytes lie behind the last tensor")
    return HttpInfer(
        id=asked.id,
        parameters=asked.parameters,
        inputs=inputs,
        outputs=[output.name for output in asked.outputs],
        raw_outputs={
            output.name: _flag(output.parameters, "binary_data")
            for output in asked.outputs
            if "binary_data" in output.parameters
        },
        raw_output=_flag(asked.parameters, "binary_data_output"),
    )


class JsonBounds:
    """A body as it comes, and what its JSON may be: what is too much is refused before all of it
    is there. ``header_length`` as ``read_infer`` has it.

    Raises:
        MalformedPayload: ``header_length`` is no number.
    """

    def __init__(self, header_length: str | None) -> None:
        self._left = None if header_length is None else _header_bytes(header_length)
        self._seen = self._objects = 0

    def take(self, part: bytes) -> None:
        """The next part of the body.

        Raises:
            MalformedPayload, PayloadTooLarge: see ``read_infer``.
        """
        size = len(part) if self._left is None else min(len(part), self._left)
        if self._left is not None:
            self._left -= size
        self._seen += size
        self._objects += part.count(b"{", 0, size)
        _check(self._seen, self._objects)


def objects_bytes(body: bytes, header_length: str | None) -> int:
    """The most memory that the values of its JSON take.

    Raises:
        MalformedPayload, PayloadTooLarge: see ``read_infer``.
    """
    size = _json_bytes(body, header_length)
    marks = ((b",", _VALUE_BYTES), (b'"', _QUOTE_BYTES), (b"[", _LIST_BYTES))
    return size + sum(each * body.count(mark, 0, size) for mark, each in marks)


def write_reply(
    asked: HttpInfer, model: OipModel, outputs: Sequence[OutputTensor]
) -> tuple[bytes, int | None]:
    """The body, and the bytes of its JSON; None where that is all of it."""
    behind: list[bytes] = []
    described = []
    for output in outputs:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if asked.raw_outputs.get(output.name, asked.raw_output):
            behind.append(output.raw())
            entry["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            entry["data"] = output.flat()
        described.append(entry)
    reply = {"model_name": model.name, "model_version": model.version, "outputs": described}
    if asked.id:
        reply["id"] = asked.id
    text = json.dumps(reply).encode()
    if not behind:
        return text, None
    return b"".join((text, *behind)), len(text)


def _json_bytes(body: bytes, header_length: str | None) -> int:
    size = len(body)
    if header_length is not None:
        size = _header_bytes(header_length)
        if size > len(body):
            raise MalformedPayload(
                f"Inference-Header-Content-Length is {size}, the body {len(body)} bytes"
            )
    _check(size, body.count(b"{", 0, size))
    return size


def _header_bytes(header_length: str) -> int:
    # Beyond some digits Python would refuse to read the number.
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) < 20):
        raise MalformedPayload("Inference-Header-Content-Length is not a number of bytes")
    return int(header_length)


def _check(size: int, objects: int) -> None:
    if size > MOST_JSON_BYTES:
        raise PayloadTooLarge(
            f"more than {MOST_JSON_BYTES} bytes of JSON: send the tensors raw behind it"
        )
    # Each would be an object of some hundred bytes before anybody counts what it is for.
    if objects > _OBJECTS_MAX:
        raise MalformedPayload(f"more than {_OBJECTS_MAX} objects in the JSON")


def _contents(given: RequestInput, raw: memoryview) -> tuple[Contents, memoryview]:
    """An input's contents, and the raw bytes that are left behind them."""
    size = given.parameters.get("binary_data_size")
    if size is None:
        if given.data is None:
            raise MalformedPayload(
                f"input {given.name[:40]!r} has neither data nor binary_data_size"
            )
        return given.data, raw
    if given.data is not None:
        raise MalformedPayload(f"input {given.name[:40]!r} has both data and binary_data_size")
    if type(size) is not int or size < 0:
        raise MalformedPayload("parameter 'binary_data_size' is a number of bytes")
    if size > len(raw):
        raise MalformedPayload(
            f"input {given.name[:40]!r} lacks bytes: of its binary_data_size "
            f"{len(raw)} are in the body"
        )
    return raw[:size], raw[size:]


def _flag(parameters: dict[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise MalformedPayload(f"parameter {name!r} is true or false")
    return value


def _said(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
