"""Every message of every gRPC method, filled at random from a seed, cut, flipped, or not a message
at all: a real server refuses what is wrong, and never fails."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from splitfer.shared.stubs.inference import grpc_inference_pb2 as oip_pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from tests.integration.cloud_process import PATIENCE_S, CloudProcess

CASES = 30
SERVICES = [
    pb.DESCRIPTOR.services_by_name["SplitFer"],
    oip_pb.DESCRIPTOR.services_by_name["GRPCInferenceService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
]
METHODS = [method for service in SERVICES for method in service.methods]
# A watch of health never ends by itself.
METHODS = [method for method in METHODS if method.name != "Watch"]
FAILURES = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
INTEGERS = [0, 1, -1, 7, 28, 224, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1]
TYPE = FieldDescriptor


@pytest.fixture(scope="module")
def server(old_weights_folder: Path) -> Iterator[CloudProcess]:
    with CloudProcess(old_weights_folder) as server:
        yield server


class Filler:
    """Messages of any type, at random, with now and then a value that the server knows."""

    def __init__(self, seed: str, words: list[str]) -> None:
        self.rng = random.Random(seed)
        self._words = words

    def message(self, kind: Descriptor, depth: int = 0) -> Any:
        """One message; some fields are left out."""
        message = message_factory.GetMessageClass(kind)()
        for field in kind.fields:
            if self.rng.random() < 0.25 or (depth > 3 and field.message_type):
                continue
            if field.message_type and field.message_type.GetOptions().map_entry:
                self._map(getattr(message, field.name), field.message_type, depth)
            elif field.is_repeated:
                values = [self._value(field, depth) for _ in range(self.rng.randint(0, 4))]
                getattr(message, field.name).extend(values)
            elif field.message_type:
                getattr(message, field.name).CopyFrom(self._value(field, depth))
            else:
                setattr(message, field.name, self._value(field, depth))
        return message

    def damaged(self, data: bytes) -> bytes:
        """Cut, flipped, longer, or something else altogether."""
        how = self.rng.randrange(4)
        if how == 0:
            return data[: self.rng.randint(0, len(data))]
        if how == 1 and data:
            flipped = bytearray(data)
            for _ in range(self.rng.randint(1, 8)):
                flipped[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            return bytes(flipped)
        if how == 2:
            return data + self.rng.randbytes(self.rng.randint(1, 40))
        return self.rng.randbytes(self.rng.randint(0, 200))

    def _map(self, entries: Any, kind: Descriptor, depth: int) -> None:
        key, value = kind.fields_by_name["key"], kind.fields_by_name["value"]
        for _ in range(self.rng.randint(0, 3)):
            name = self._value(key, depth)
            if value.message_type:
                entries[name].CopyFrom(self._value(value, depth))
            else:
                entries[name] = self._value(value, depth)

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        rng = self.rng
        if field.message_type:
            return self.message(field.message_type, depth + 1)
        if field.type == TYPE.TYPE_STRING:
            return rng.choice([*self._words, "", "é\0\n", "x" * 3000])
        if field.type == TYPE.TYPE_BYTES:
            size = rng.choice([0, 1, 5, 300, 6272, 6277, 50176])
            return rng.choice([b"", bytes(size), b"\x01" + rng.randbytes(size)])
        if field.type in (TYPE.TYPE_FLOAT, TYPE.TYPE_DOUBLE):
            return rng.choice([0.0, -1.0, 1e38, float("inf"), float("nan")])
        if field.type == TYPE.TYPE_BOOL:
            return rng.random() < 0.5
        if field.type == TYPE.TYPE_ENUM:
            return rng.choice(list(field.enum_type.values_by_number))
        least, most = {
            TYPE.CPPTYPE_UINT32: (0, 2**32 - 1),
            TYPE.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
            TYPE.CPPTYPE_UINT64: (0, 2**64 - 1),
            TYPE.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
        }[field.cpp_type]
        return rng.choice([n for n in INTEGERS if least <= n <= most])


def status(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_nothing_makes_it_fail(server: CloudProcess, method: MethodDescriptor) -> None:
    words = [server.fingerprint, "cloud", "BYTES", "UINT8", "FP32", "splitfer.v1.SplitFer"]
    filler = Filler(method.full_name, words)
    path = f"/{method.containing_service.full_name}/{method.name}"
    seen = set()
    with server.channel() as channel:
        for number in range(CASES):
            data = filler.message(method.input_type).SerializeToString()
            if number % 2:
                data = filler.damaged(data)
            if method.client_streaming:
                stream = channel.stream_stream(path)
                seen.add(status(lambda: list(stream(iter([data, data]), timeout=PATIENCE_S))))  # noqa: B023
            else:
                unary = channel.unary_unary(path)
                seen.add(status(lambda: unary(data, timeout=PATIENCE_S)))  # noqa: B023
    assert seen
    assert not seen & FAILURES
    assert grpc.StatusCode.DEADLINE_EXCEEDED not in seen
    assert "Traceback" not in server.log
