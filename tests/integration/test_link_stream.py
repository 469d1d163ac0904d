"""The link's stream against a played server over a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from splitfer.edge_client.link.breaker import LinkState
from splitfer.edge_client.link.call import Call
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.link import Link, StreamUse
from splitfer.shared.contracts import Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.reply_checksum import infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from tests.integration.test_link import FINGERPRINT, Played, PlayedServer
from tests.processes import wait_until

IN_FLIGHT = 4
Messages = Iterator[pb.InferStreamRequest]
Answers = Iterator[pb.InferStreamResponse]


def reply(message: pb.InferStreamRequest) -> pb.InferStreamResponse:
    payloads = message.request.payloads
    response = pb.InferResponse(results=[pb.FaceResult() for _ in payloads])
    response.checksum = infer_checksum(payloads, response)
    return pb.InferStreamResponse(id=message.id, response=response)


def all_answered(messages: Messages, _: Any) -> Answers:
    return map(reply, messages)


class Streaming(Played):
    """Also streams, as ``play`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.model.stream_in_flight = IN_FLIGHT
        self.play: Callable[[Messages, Any], Answers] = all_answered
        self.streams = self.calls = 0

    def Infer(self, request: Any, context: Any) -> pb.InferResponse:
        self.calls += 1
        return super().Infer(request, context)

    def InferStream(self, messages: Messages, context: Any) -> Answers:
        self.streams += 1
        yield from self.play(messages, context)


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    server = PlayedServer()
    server.played = Streaming()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def open_link(server: PlayedServer) -> Iterator[Callable[..., Link]]:
    links: list[Link] = []

    def opened(stream: StreamUse = "auto") -> Link:
        link = Link(
            lambda: open_channel(f"127.0.0.1:{server.port}", None),
            FINGERPRINT,
            ["raw"],
            stream=stream,
        )
        links.append(link)
        assert link.wait_for_handshake(10)
        return link

    yield opened
    for link in links:
        link.close()


def send(link: Link, payload: bytes = b"x", milliseconds: float = 20_000) -> Call[Any]:
    return link.infer([payload], Deadline.after_ms(milliseconds))


def reasons(*calls: Call[Any]) -> list[Reason | None]:
    assert all(call.wait(30) for call in calls)
    return [failure.reason if (failure := call.failure()) else None for call in calls]


def test_latents_go_on_one_stream_where_it_is_offered(server: Any, open_link: Any) -> None:
    link = open_link()
    for _ in range(10):
        assert reasons(send(link)) == [None]
    assert (server.played.streams, server.played.calls) == (1, 0)
    assert link.counts.calls == link.counts.streamed_calls == 10
    assert link.counts.wire_bytes > 100


@pytest.mark.parametrize(("use", "offered"), [("off", IN_FLIGHT), ("auto", 0), ("on", 0)])
def test_without_a_stream_they_go_by_calls(
    server: Any, open_link: Any, use: StreamUse, offered: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.played.model.stream_in_flight = offered
    link = open_link(use)
    assert reasons(send(link)) == [None]
    assert (server.played.streams, server.played.calls) == (0, 1)
    assert ("offers no streams" in caplog.text) == (use == "on")


def test_answers_in_another_order_find_their_frames(server: Any, open_link: Any) -> None:
    def backwards(messages: Messages, _: Any) -> Answers:
        four = [next(messages) for _ in range(4)]
        yield from map(reply, reversed(four))

    server.played.play = backwards
    link = open_link()
    calls = [send(link, bytes((n,))) for n in range(4)]
    # A reply to other payloads has another checksum.
    assert reasons(*calls) == [None] * 4
    assert link.counts.streamed_calls == 4


def test_an_error_is_of_one_message(server: Any, open_link: Any) -> None:
    def refuse_y(messages: Messages, _: Any) -> Answers:
        for message in messages:
            if message.request.payloads[0] == b"y":
                error = pb.Error(code="overloaded", message="as the play says", retryable=True)
                yield pb.InferStreamResponse(id=message.id, error=error)
            else:
                yield reply(message)

    server.played.play = refuse_y
    link = open_link()
    calls = [send(link, payload) for payload in (b"x", b"y", b"x")]
    assert reasons(*calls) == [None, Reason.OVERLOADED, None]
    assert server.played.streams == 1


def test_another_messages_reply_is_not_taken(server: Any, open_link: Any) -> None:
    def damaged(messages: Messages, _: Any) -> Answers:
        for message in messages:
            answer = reply(message)
            answer.response.checksum ^= 1
            yield answer

    server.played.play = damaged
    assert reasons(send(open_link())) == [Reason.SERVER_ERROR]


@pytest.mark.parametrize("politely", [True, False])
def test_a_stream_that_ends_loses_no_frame_and_is_opened_again(
    server: Any, open_link: Any, politely: bool
) -> None:
    def one_then_end(messages: Messages, context: Any) -> Answers:
        yield reply(next(messages))
        next(messages)
        if not politely:
            context.abort(grpc.StatusCode.INTERNAL, "as the play says")

    server.played.play = one_then_end
    link = open_link()
    assert reasons(send(link), send(link), send(link)) == [None] * 3
    assert server.played.calls == 2
    assert link.state is LinkState.READY
    server.played.play = all_answered

    def streamed_again() -> bool:
        assert reasons(send(link)) == [None]
        return bool(server.played.streams == 2)

    wait_until(streamed_again, "a new stream")


def test_a_frame_that_has_no_time_left_is_not_asked_again(server: Any, open_link: Any) -> None:
    late = threading.Event()

    def end_late(messages: Messages, _: Any) -> Answers:
        next(messages)
        late.wait(30)
        yield from ()

    server.played.play = end_late
    link = open_link()
    start_s = time.monotonic()
    call = send(link, milliseconds=200)
    assert reasons(call) == [Reason.DEADLINE]
    assert call.done_s is not None
    assert call.done_s - start_s >= 0.2
    late.set()
    assert server.played.calls == 0


def test_frames_whose_deadlines_pass_open_the_breaker(server: Any, open_link: Any) -> None:
    silent = threading.Event()

    def say_nothing(messages: Messages, _: Any) -> Answers:
        silent.wait(30)
        yield from ()

    server.played.play = say_nothing
    link = open_link()
    assert reasons(*(send(link, milliseconds=ms) for ms in (150, 50, 100))) == [Reason.DEADLINE] * 3
    wait_until(lambda: link.state is not LinkState.READY or server.played.streams > 1, "a probe")
    silent.set()


def test_what_does_not_fit_on_the_stream_goes_by_a_call(server: Any, open_link: Any) -> None:
    go = threading.Event()

    def wait_to_answer(messages: Messages, _: Any) -> Answers:
        for message in messages:
            go.wait(30)
            yield reply(message)

    server.played.play = wait_to_answer
    link = open_link()
    calls = [send(link) for _ in range(IN_FLIGHT + 2)]
    assert reasons(*calls[IN_FLIGHT:]) == [None, None]
    assert server.played.calls == 2
    go.set()
    assert reasons(*calls) == [None] * (IN_FLIGHT + 2)


def test_a_server_that_goes_away_is_said_to_be_down(server: Any, open_link: Any) -> None:
    got = threading.Event()

    def hold(messages: Messages, context: Any) -> Answers:
        next(messages)
        got.set()
        for _ in messages:
            pass
        yield from ()

    server.played.play = hold
    link = open_link()
    call = send(link)
    assert got.wait(30)
    server.stop()
    assert reasons(call) == [Reason.LINK_DOWN]


def test_closing_settles_what_is_under_way(server: Any, open_link: Any) -> None:
    silent = threading.Event()

    def say_nothing(messages: Messages, _: Any) -> Answers:
        silent.wait(30)
        yield from ()

    server.played.play = say_nothing
    link = open_link()
    call = send(link)
    link.close()
    assert reasons(call) == [Reason.LINK_DOWN]
    silent.set()
