"""``InferStream`` of a real server, through the generated stubs."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import pytest

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.reply_checksum import infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import CloudProcess

SYMBOLS = np.random.default_rng(1).integers(113, 144, (8, 8, 28, 28), dtype=np.uint8)
PAYLOADS = [PayloadCodec(None, 1).encode(Latent(symbols, 0)) for symbols in SYMBOLS]
TIMEOUT_S = 30


def started(folder: Path, **settings: Any) -> CloudProcess:
    config = folder / "cloud.yaml"
    config.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    return CloudProcess(default_folder(), "--config", str(config))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    folder = tmp_path_factory.mktemp("config")
    with started(folder, stream_in_flight=4) as server:
        yield server


class Stream:
    """An open stream that sends when told to."""

    def __init__(self, server: CloudProcess, channel: grpc.Channel, token: str = "") -> None:
        self._fingerprint = server.fingerprint
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.call = pb_grpc.SplitFerStub(channel).InferStream(
            iter(self._outbox.get, None), timeout=TIMEOUT_S, metadata=metadata
        )

    def send(
        self,
        number: int,
        *payloads: bytes,
        deadline_ms: float = 20_000,
        sent_ms: float = 0,
        **other: Any,
    ) -> None:
        request = pb.InferRequest(
            **{"fingerprint": self._fingerprint, "payloads": payloads, **other}
        )
        self._outbox.put(
            pb.InferStreamRequest(
                id=number, deadline_ms=deadline_ms, sent_ms=sent_ms, request=request
            )
        )

    def half_close(self) -> None:
        self._outbox.put(None)

    def answers(self, count: int) -> dict[int, pb.InferStreamResponse]:
        got = [next(self.call) for _ in range(count)]
        return {one.id: one for one in got}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.half_close()
        self.call.cancel()


@pytest.fixture
def stream(server: CloudProcess) -> Iterator[Stream]:
    with server.channel() as channel, Stream(server, channel) as stream:
        yield stream


def test_the_handshake_offers_it(server: CloudProcess) -> None:
    with server.channel() as channel:
        model = pb_grpc.SplitFerStub(channel).GetModel(pb.GetModelRequest(), timeout=TIMEOUT_S)
    assert model.stream_in_flight == 4


def test_answers_are_those_of_single_calls(server: CloudProcess, stream: Stream) -> None:
    for number, payload in enumerate(PAYLOADS):
        stream.send(number, payload)
    streamed = stream.answers(len(PAYLOADS))
    with server.channel() as channel:
        stub = pb_grpc.SplitFerStub(channel)
        for number, payload in enumerate(PAYLOADS):
            request = pb.InferRequest(fingerprint=server.fingerprint, payloads=[payload])
            expected = stub.Infer(request, timeout=TIMEOUT_S).results[0].answer
            response = streamed[number].response
            answer = response.results[0].answer
            assert list(answer.probabilities) == pytest.approx(expected.probabilities, abs=1e-5)
            assert answer.model == expected.model
            assert response.checksum == infer_checksum([payload], response)
            assert 0 < response.time.tail_ms <= response.time.total_ms


def test_an_error_is_of_its_message_and_the_stream_goes_on(stream: Stream) -> None:
    stream.send(1, PAYLOADS[0], fingerprint="0" * 16)
    stream.send(2, *[b""] * 33)
    stream.send(3, PAYLOADS[0], deadline_ms=-1)
    stream.send(4, PAYLOADS[0], deadline_ms=float("nan"))
    errors = stream.answers(4)
    stream.send(5, PAYLOADS[0], b"\x63")
    stream.send(6, PAYLOADS[0], deadline_ms=0.001)
    more = stream.answers(2)
    codes = {number: one.error.code for number, one in (errors | more).items()}
    assert codes == {
        1: "model_mismatch",
        2: "too_large",
        3: "malformed_payload",
        4: "malformed_payload",
        5: "",
        6: "deadline",
    }
    results = more[5].response.results
    assert [result.WhichOneof("result") for result in results] == ["answer", "error"]


def test_what_a_message_was_held_up_under_way_is_off_its_deadline(stream: Stream) -> None:
    start_ms = 1e6  # of a clock that is not the server's
    stream.send(1, PAYLOADS[0], sent_ms=start_ms)
    assert stream.answers(1)[1].error.code == ""
    stream.send(2, PAYLOADS[0], sent_ms=start_ms - 30_000, deadline_ms=20_000)
    assert stream.answers(1)[2].error.code == "deadline"
    stream.send(3, PAYLOADS[0], sent_ms=start_ms - 30_000, deadline_ms=200_000)
    assert stream.answers(1)[3].error.code == ""


def test_it_stops_to_read_where_nobody_takes_the_answers(
    server: CloudProcess, stream: Stream
) -> None:
    """Far more than may be in flight, none of it read; then everything comes."""
    count = 200
    for number in range(count):
        stream.send(number, PAYLOADS[number % 8])
    assert set(stream.answers(count)) == set(range(count))


def test_the_callers_half_close_ends_it_when_all_is_answered(stream: Stream) -> None:
    for number in range(8):
        stream.send(number, PAYLOADS[number])
    stream.half_close()
    assert {one.id for one in stream.call} == set(range(8))
    assert stream.call.code() is grpc.StatusCode.OK


def test_what_is_no_message_ends_the_stream_and_says_so(server: CloudProcess) -> None:
    with server.channel() as channel:
        method = channel.stream_stream("/splitfer.v1.SplitFer/InferStream")
        call = method(iter([b"\xff\xff\xff"]), timeout=TIMEOUT_S)
        with pytest.raises(grpc.RpcError) as raised:
            list(call)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ("splitfer-code", "malformed_payload") in raised.value.trailing_metadata()


def test_a_caller_that_hangs_up_disturbs_nobody(server: CloudProcess, stream: Stream) -> None:
    with server.channel() as channel:
        rude = Stream(server, channel)
        for number in range(50):
            rude.send(number, PAYLOADS[number % 8])
        next(rude.call)
        rude.call.cancel()
        rude.half_close()
    stream.send(1, PAYLOADS[0])
    assert stream.answers(1)[1].response.results[0].answer.model


def test_draining_answers_what_was_read_and_ends_the_stream_well() -> None:
    with CloudProcess(default_folder()) as server, server.channel() as channel:
        stream = Stream(server, channel)
        for number in range(40):
            stream.send(number, PAYLOADS[number % 8])
        answered = [next(stream.call).id]
        reader = threading.Thread(target=lambda: answered.extend(one.id for one in stream.call))
        reader.start()
        server.signal(signal.SIGTERM)
        reader.join(TIMEOUT_S)
        stream.half_close()
        assert stream.call.code() is grpc.StatusCode.OK
        assert len(answered) == len(set(answered))
        assert server.exit_code() == 0


def test_the_token_is_asked_for_when_the_stream_opens(tmp_path: Path) -> None:
    with (
        started(tmp_path, token="sesame-open-sesame") as server,
        server.channel() as channel,
    ):
        with Stream(server, channel) as stranger, pytest.raises(grpc.RpcError) as raised:
            next(stranger.call)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert ("splitfer-code", "unauthorised") in raised.value.trailing_metadata()
        with Stream(server, channel, token="sesame-open-sesame") as friend:
            friend.send(1, PAYLOADS[0])
            assert friend.answers(1)[1].response.results


def test_a_server_may_offer_none(tmp_path: Path) -> None:
    with (
        started(tmp_path, stream_in_flight=0) as server,
        server.channel() as channel,
    ):
        model = pb_grpc.SplitFerStub(channel).GetModel(pb.GetModelRequest(), timeout=TIMEOUT_S)
        assert model.stream_in_flight == 0
        with Stream(server, channel) as stream, pytest.raises(grpc.RpcError) as raised:
            next(stream.call)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
