"""A server whose replies are parseable, checksummed, and made to do harm."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitfer import Recognizer
from splitfer.edge_client.link.infer_stream import InferStream
from splitfer.edge_client.link.replies import ServerReply, read_classify
from splitfer.shared.contracts import SCHEMA_VERSION, Answer, AnswerPath, Box, Limits, Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.reply_checksum import classify_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import (
    SplitFerServicer,
    SplitFerStub,
    add_SplitFerServicer_to_server,
)
from splitfer.shared.vision.crop import Cropping, crop_face
from splitfer.shared.weights import Weights, default_folder
from tests.processes import wait_until

INT32 = st.integers(-(2**31), 2**31 - 1)
ROW = [1.0, 0, 0, 0, 0, 0, 0]
WIDTH, HEIGHT = 640, 480
MOST_MORE_MIB = 100


class Ended:
    """A call that brought ``reply`` after 10 ms."""

    def __init__(self, reply: pb.ClassifyResponse) -> None:
        self.reply, self.sent_s, self.done_s = reply, 100.0, 100.01

    def result(self) -> pb.ClassifyResponse:
        return self.reply


def face(box: tuple[int, int, int, int], model: str = "f/cloud", **more: Any) -> pb.DetectedFace:
    x, y, w, h = box
    answer = pb.Answer(probabilities=ROW, model=model, labels=LabelSet.FER2013.value)
    return pb.DetectedFace(
        box=pb.Box(x=x, y=y, w=w, h=h), result=pb.FaceResult(answer=answer), quality=1.0, **more
    )


def read(
    *faces: pb.DetectedFace, most: int = Limits.faces_per_frame, **time_ms: float
) -> ServerReply:
    reply = pb.ClassifyResponse(faces=faces, time=pb.ServerTime(**time_ms))
    call: Any = Ended(reply)
    return read_classify(call, LabelSet.FER2013, (WIDTH, HEIGHT), most)


@given(st.tuples(INT32, INT32, INT32, INT32))
def test_a_box_that_is_used_lies_in_the_picture(box: tuple[int, int, int, int]) -> None:
    reply = read(face(box))
    if reply.reason is None:
        x, y, w, h = box
        assert 0 <= x + w / 2 <= WIDTH
        assert 0 <= y + h / 2 <= HEIGHT
        assert 1 <= min(w, h) <= max(w, h) <= 2 * WIDTH
    else:
        assert reply.reason is Reason.SERVER_ERROR


@given(st.tuples(*[st.integers(-300, 900)] * 2, *[st.integers(1, 640)] * 2))
def test_a_box_as_detectors_find_them_is_used(box: tuple[int, int, int, int]) -> None:
    x, y, w, h = box
    if 0 <= x + w / 2 <= WIDTH and 0 <= y + h / 2 <= HEIGHT:
        assert read(face(box)).boxes == (Box(*box),)


def test_invented_faces_by_the_thousand_are_none() -> None:
    assert read(*[face((10, 10, 50, 50))] * 3000).reason is Reason.SERVER_ERROR


def test_of_more_faces_than_are_wanted_the_first_are_taken() -> None:
    faces = [face((10 * i, 10, 50, 50)) for i in range(5)]
    assert [box.x for box in read(*faces, most=2).boxes] == [0, 10]


@pytest.mark.parametrize("model", ["f/cloud\x1b[2J", "a\nb", "m" * 5000])
def test_a_name_that_would_spoil_a_record_is_refused(model: str) -> None:
    assert read(face((10, 10, 50, 50), model)).results == (Reason.SERVER_ERROR,)


@pytest.mark.parametrize(
    "times",
    [
        {"total_ms": 9000.0},
        {"total_ms": float("nan")},
        {"total_ms": 5.0, "tail_ms": 500.0},
        {"total_ms": -1.0},
        {"total_ms": 5.0, "detect_ms": float("inf")},
    ],
)
def test_times_that_cannot_be_are_left_out(times: dict[str, float]) -> None:
    """The round trip took 10 ms."""
    found = read(face((10, 10, 50, 50)), **times).times
    assert (found.tail, found.detect) == (None, None)
    assert found.link == pytest.approx(10)
    assert isinstance(read(face((10, 10, 50, 50)), **times).results[0], Answer)


def test_times_that_can_be_are_kept() -> None:
    found = read(face((1, 1, 50, 50)), total_ms=8.0, tail_ms=3.0, detect_ms=4.0).times
    assert (found.tail, found.detect) == (3.0, 4.0)
    assert found.link == pytest.approx(2)


def test_a_square_of_many_frames_is_not_cut_out() -> None:
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    with pytest.raises(ValueError, match="640x480"):
        crop_face(grey, Box(0, 0, 2**31 - 1, 2**31 - 1), Cropping(1.3, 0, 0))
    with pytest.raises(ValueError, match="640x480"):
        crop_face(grey, Box(0, 0, 50, 50), Cropping(1e6, 0, 0))


# --- Over a real connection


class Hostile(SplitFerServicer):  # type: ignore[misc]  # generated without types
    """Shakes hands as a server does, and answers pictures with ``faces``."""

    def __init__(self, faces: list[pb.DetectedFace]) -> None:
        weights = Weights(default_folder())
        self._faces = faces
        self._model = pb.Model(
            schema_version=SCHEMA_VERSION,
            fingerprint=weights.manifest.fingerprint,
            labels=LABELS,
            codecs=weights.payload_codec.names,
            label_sets=[one.value for one in weights.manifest.label_sets],
        )
        self.asked = 0

    def GetModel(self, request: Any, context: Any) -> pb.Model:
        return self._model

    def Classify(self, request: Any, context: Any) -> pb.ClassifyResponse:
        self.asked += 1
        reply = pb.ClassifyResponse(faces=self._faces)
        reply.checksum = classify_checksum(request.picture, reply)
        return reply


Serving = Callable[[list[pb.DetectedFace]], tuple[Hostile, str]]


@pytest.fixture
def serving() -> Iterator[Serving]:
    servers = []

    def start(faces: list[pb.DetectedFace]) -> tuple[Hostile, str]:
        hostile, server = Hostile(faces), grpc.server(ThreadPoolExecutor(2))
        add_SplitFerServicer_to_server(hostile, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return hostile, f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


def without_answer(box: tuple[int, int, int, int]) -> pb.DetectedFace:
    """The edge would cut such a face out and answer it by itself."""
    x, y, w, h = box
    error = pb.FaceResult(error=pb.Error(code="inference_failed"))
    return pb.DetectedFace(box=pb.Box(x=x, y=y, w=w, h=h), result=error, quality=1.0)


@pytest.mark.parametrize(
    "faces",
    [
        [without_answer((0, 0, 40_000, 40_000))] * 4,
        [without_answer((2**31 - 2, 2**31 - 2, 2**31 - 1, 2**31 - 1))],
        [without_answer((10, 10, 60, 60))] * 5000,
    ],
    ids=["wider than the picture", "far away", "thousands"],
)
def test_the_device_answers_itself(
    serving: Serving, faces: list[pb.DetectedFace], astronaut: NDArray[np.uint8]
) -> None:
    hostile, server = serving(faces)
    with Recognizer(server, policy="image", deadline_ms=60_000, search_side_px=480) as recognizer:
        before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start_s = time.monotonic()
        (found,) = recognizer.faces(astronaut)
        took_s = time.monotonic() - start_s
    assert hostile.asked == 1
    assert (found.path, found.reason) == (AnswerPath.LOCAL, Reason.SERVER_ERROR)
    assert took_s < 20, f"on {os.cpu_count()} processors"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib < MOST_MORE_MIB


class Babbling(Hostile):
    """Offers a stream, and says on it whatever nobody asked."""

    def __init__(self) -> None:
        super().__init__([])
        self._model.stream_in_flight = 8
        self.said = 0

    def InferStream(self, requests: Any, context: Any) -> Iterator[pb.InferStreamResponse]:
        while context.is_active():
            self.said += 1
            yield pb.InferStreamResponse(id=self.said, response=pb.InferResponse())


def test_a_stream_that_says_what_nobody_asked_is_hung_up() -> None:
    babbling, server = Babbling(), grpc.server(ThreadPoolExecutor(2))
    add_SplitFerServicer_to_server(babbling, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stream = InferStream(SplitFerStub(channel), (), 8)
    try:
        wait_until(lambda: stream.broken_s is not None, "the stream to be hung up")
        assert stream.send(pb.InferRequest(), Deadline.after_ms(1000), "", lambda _: None) is None
    finally:
        stream.close()
        channel.close()
        server.stop(None).wait()
