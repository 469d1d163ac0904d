"""The binary tensor extension's parser: any body gives a request or an error, and nothing of it is
believed that is not there."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splitfer.cloud_server.oip.models import OipModel
from splitfer.cloud_server.oip.tensor import (
    BYTES,
    FP32,
    UINT8,
    InputTensor,
    OutputTensor,
    TensorSpec,
)
from splitfer.cloud_server.rest_api.oip_binary import (
    MOST_JSON_BYTES,
    HttpInfer,
    JsonBounds,
    objects_bytes,
    read_infer,
    write_reply,
)
from splitfer.shared.errors import MalformedPayload, PayloadTooLarge

DTYPES = {UINT8: np.dtype("u1"), FP32: np.dtype("<f4")}
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
# What a body may hold where the parser looks, right and wrong.
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | JSON,
        "datatype": st.sampled_from([UINT8, FP32, BYTES]) | JSON,
        "shape": st.lists(st.integers(-1, 2**70), max_size=5) | JSON,
        "data": st.lists(st.integers(-1, 300) | st.floats(), max_size=9) | JSON,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-1, 2**70) | JSON}
        ),
    },
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text() | JSON,
        "inputs": st.lists(TENSORS, max_size=3) | JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.text()}) | JSON) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": JSON}) | JSON,
    },
)
SPEC = TensorSpec("x", (UINT8, FP32), (-1, 2, 2))


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from([UINT8, FP32]))
    width = {"width": 32} if datatype == FP32 else {}
    elements = st.floats(allow_nan=False, **width) if width else st.integers(0, 255)
    return datatype, draw(arrays(DTYPES[datatype], draw(SHAPES), elements=elements))


def read_all(body: bytes, length: str | None) -> None:
    """Fails on any other error than ours; a tensor that is read has its shape."""
    try:
        asked = read_infer(body, length)
    except MalformedPayload as error:
        refused(error)
        return
    for tensor in asked.inputs:
        try:
            array = SPEC.read(tensor)
        except MalformedPayload as error:
            refused(error)
        else:
            assert list(array.shape) == list(tensor.shape)
            assert array.dtype == DTYPES[tensor.datatype]


def refused(error: MalformedPayload) -> None:
    """The message is one short line, whatever the peer said."""
    assert str(error).isprintable()
    assert len(str(error).encode()) < 1000


@given(body=st.binary(max_size=300), length=st.none() | st.text(max_size=30))
def test_any_bytes_and_any_header(body: bytes, length: str | None) -> None:
    read_all(body, length)


@given(body=BODIES, raw=st.binary(max_size=64))
def test_any_json_with_anything_behind_it(body: Any, raw: bytes) -> None:
    text = json.dumps(body).encode()
    read_all(text + raw, str(len(text)))
    read_all(text, None)


def test_long_json_is_not_read() -> None:
    body = b" " * MOST_JSON_BYTES + b'{"inputs": []}'
    with pytest.raises(PayloadTooLarge, match="raw"):
        read_infer(body, None)
    with pytest.raises(MalformedPayload, match="behind"):
        read_infer(body[-14:] + bytes(MOST_JSON_BYTES), "14")  # raw tensors may be longer


@given(inputs=st.lists(tensors(), min_size=1, max_size=4), data=st.data())
def test_round_trip(inputs: list[tuple[str, np.ndarray]], data: st.DataObject) -> None:
    entries, behind = [], []
    for number, (datatype, array) in enumerate(inputs):
        entry = {"name": f"x{number}", "datatype": datatype, "shape": array.shape}
        if data.draw(st.booleans()):
            entry["parameters"] = {"binary_data_size": array.nbytes}
            behind.append(array.tobytes())
        else:
            entry["data"] = (array if data.draw(st.booleans()) else array.ravel()).tolist()
        entries.append(entry)
    text = json.dumps({"inputs": entries}).encode()
    body = text + b"".join(behind)
    # Without raw tensors the header may be left out.
    length = str(len(text)) if behind or data.draw(st.booleans()) else None
    for (datatype, array), tensor in zip(inputs, read_infer(body, length).inputs, strict=True):
        spec = TensorSpec(tensor.name, (datatype,), (-1, *array.shape[1:]))
        np.testing.assert_array_equal(spec.read(tensor), array)
    if behind:
        cut = data.draw(st.integers(0, sum(map(len, behind)) - 1))
        read_as_error(body[: len(text) + cut], length)
        read_as_error(body + b"x", length)


def read_as_error(body: bytes, length: str | None) -> None:
    try:
        read_infer(body, length)
    except MalformedPayload as error:
        refused(error)
    else:
        raise AssertionError("bytes are missing, or there are too many")


@given(
    shape=st.lists(st.integers(0, 2**63 - 1), max_size=4),
    contents=st.binary(max_size=40) | st.lists(st.integers(0, 255), max_size=40),
)
def test_a_shape_is_believed_where_its_elements_are_there(
    shape: list[int], contents: bytes | list[int]
) -> None:
    tensor = InputTensor("x", UINT8, shape, contents)
    try:
        array = TensorSpec("x", (UINT8,), (-1,) * len(shape)).read(tensor)
    except MalformedPayload as error:
        refused(error)
    else:
        assert array.size == len(contents)


@given(
    values=arrays("<f4", SHAPES, elements=st.floats(width=32, allow_nan=False)),
    words=st.lists(st.text(alphabet="aé\x00", min_size=1).filter(lambda w: w[-1] != "\x00")),
    raw=st.tuples(st.booleans(), st.booleans()),
)
def test_what_is_written_can_be_read(
    values: np.ndarray, words: list[str], raw: tuple[bool, bool]
) -> None:
    outputs = [OutputTensor("p", FP32, values), OutputTensor("w", BYTES, np.array(words, str))]
    model = OipModel("m", "v", ("v",), "", SPEC)
    asked = HttpInfer("7", {}, [], [], {"p": raw[0]}, raw[1])
    body, size = write_reply(asked, model, outputs)
    assert (size is None) == (not any(raw))
    reply, behind = json.loads(body[:size]), body[size:] if size else b""
    assert (reply["model_name"], reply["model_version"], reply["id"]) == ("m", "v", "7")
    for output, is_raw in zip(reply["outputs"], raw, strict=True):
        if not is_raw:
            continue
        one, behind = (
            behind[: output["parameters"]["binary_data_size"]],
            behind[output["parameters"]["binary_data_size"] :],
        )
        if output["name"] == "p":
            back = np.frombuffer(one, "<f4").reshape(output["shape"])
            np.testing.assert_array_equal(back, values)
        else:
            assert unpacked(one) == words
    assert not behind
    if not raw[0]:
        flat = np.array(reply["outputs"][0]["data"], "f4")
        np.testing.assert_array_equal(flat, values.ravel())
    if not raw[1]:
        assert reply["outputs"][1]["data"] == words


def unpacked(raw: bytes) -> list[str]:
    """The elements of BYTES: each its length, 4 bytes, and itself."""
    words = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        words.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    return words


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=12),
    max_leaves=60,
)


@given(st.lists(JSON, max_size=20), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_what_json_takes_is_known_before_it_is_read(
    data: list[Any], separators: tuple[str, str]
) -> None:
    body = json.dumps({"data": data}, separators=separators, ensure_ascii=False).encode()

    def taken(value: Any) -> int:
        inner = sum(map(taken, value)) if isinstance(value, list) else 0
        return sys.getsizeof(value) + inner

    kept = sum(taken(value) for value in json.loads(body)["data"])
    assert kept <= objects_bytes(body, None)


@given(st.binary(max_size=40), st.lists(st.integers(0, 900), max_size=6), st.data())
def test_what_is_too_much_is_refused_before_all_of_it_is_there(
    filler: bytes, places: list[int], data: st.DataObject
) -> None:
    body = filler + b"{" * data.draw(st.integers(0, 600)) + filler
    header = data.draw(st.none() | st.integers(0, len(body)).map(str))
    bounds, start = JsonBounds(header), 0
    parted = whole = False
    try:
        for end in sorted({*places, len(body)}):
            bounds.take(body[start:end])
            start = end
    except MalformedPayload:
        parted = True
    try:
        objects_bytes(body, header)
    except MalformedPayload:
        whole = True
    assert parted == whole
