"""The link against a played server over a real socket."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from splitfer.edge_client.link.breaker import LinkState
from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.link import Link
from splitfer.shared.contracts import SCHEMA_VERSION, Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.reply_checksum import infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import (
    SplitFerServicer,
    add_SplitFerServicer_to_server,
)
from tests.processes import free_port, wait_until

FINGERPRINT = "00112233aabbccdd"


class Played(SplitFerServicer):  # type: ignore[misc]  # generated without types
    """Answers as told; remembers what it was asked."""

    def __init__(self) -> None:
        self.model = pb.Model(
            schema_version=SCHEMA_VERSION, fingerprint=FINGERPRINT, labels=LABELS, codecs=["raw"]
        )
        self.refuse: tuple[grpc.StatusCode, str] | None = None
        self.metadata: list[Any] = []

    def GetModel(self, request: Any, context: Any) -> pb.Model:
        self.metadata = list(context.invocation_metadata())
        return self.model

    def Infer(self, request: Any, context: Any) -> pb.InferResponse:
        if self.refuse:
            status, code = self.refuse
            context.set_trailing_metadata((("splitfer-code", code),) if code else ())
            context.abort(status, "as the play says")
        reply = pb.InferResponse(results=[pb.FaceResult() for _ in request.payloads])
        reply.checksum = infer_checksum(request.payloads, reply)
        return reply


class PlayedServer:
    """The played servicer on a port, that can go and come."""

    def __init__(self) -> None:
        self.played, self.port = Played(), free_port()
        self.server: Any = None

    def start(self) -> None:
        options = (("grpc.so_reuseport", 0),)
        self.server = grpc.server(ThreadPoolExecutor(4), options=options)
        add_SplitFerServicer_to_server(self.played, self.server)
        assert self.server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop(None).wait()
            self.server = None

    def link(self, token: str | None = None, labels: LabelSet = LabelSet.FER2013) -> Link:
        return Link(
            lambda: open_channel(f"127.0.0.1:{self.port}", None),
            FINGERPRINT,
            ["raw"],
            token,
            labels=labels,
        )


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    server = PlayedServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def link(server: PlayedServer) -> Iterator[Link]:
    link = server.link()
    assert link.wait_for_handshake(10)
    yield link
    link.close()


def outcome(link: Link, milliseconds: float = 2000) -> Reason | None:
    """Send one face; why it failed, or None."""
    try:
        call = link.infer([b"x"], Deadline.after_ms(milliseconds))
    except CallFailed as error:
        return error.reason
    assert call.wait(10)
    failure = call.failure()
    return failure.reason if failure else None


def test_a_call_is_answered_and_its_bytes_are_counted(link: Link) -> None:
    assert outcome(link) is None
    assert link.counts.calls == 1
    assert link.counts.wire_bytes > 10


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", Reason.OVERLOADED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_large", Reason.SERVER_ERROR),
        (grpc.StatusCode.UNAVAILABLE, "not_ready", Reason.NOT_READY),
        (grpc.StatusCode.UNAVAILABLE, "", Reason.LINK_DOWN),
        (grpc.StatusCode.FAILED_PRECONDITION, "model_mismatch", Reason.MODEL_MISMATCH),
        (grpc.StatusCode.UNAUTHENTICATED, "unauthorised", Reason.UNAUTHORISED),
        (grpc.StatusCode.PERMISSION_DENIED, "forbidden", Reason.UNAUTHORISED),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline", Reason.DEADLINE),
        (grpc.StatusCode.INTERNAL, "inference_failed", Reason.SERVER_ERROR),
        (grpc.StatusCode.INTERNAL, "", Reason.SERVER_ERROR),
    ],
)
def test_the_servers_own_code_decides_where_grpcs_is_ambiguous(
    server: PlayedServer, link: Link, status: grpc.StatusCode, code: str, reason: Reason
) -> None:
    server.played.refuse = (status, code)
    assert outcome(link) is reason


def test_failures_open_it_and_a_handshake_brings_it_back(server: PlayedServer, link: Link) -> None:
    server.stop()
    seen = [outcome(link) for _ in range(4)]
    assert seen == [Reason.LINK_DOWN] * 3 + [Reason.BREAKER_OPEN]
    server.start()
    start_s = time.monotonic()
    wait_until(lambda: link.state is LinkState.READY, "the link to come back")
    assert time.monotonic() - start_s < 5
    assert outcome(link) is None


def test_a_server_that_was_never_there_is_found_when_it_comes() -> None:
    server = PlayedServer()
    link = server.link()
    try:
        assert not link.wait_for_handshake(10)
        assert link.refusal is Reason.LINK_DOWN
        server.start()
        wait_until(lambda: link.refusal is None, "the first handshake")
    finally:
        link.close()
        server.stop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "ffffffffffffffff"}, "give both the same weights"),
        ({"schema_version": 99}, "install the same version"),
        ({"codecs": ["other"]}, "codecs"),
        ({"labels": ["bored"]}, "labels"),
        (
            {"label_sets": ["crowd"]},
            "this device asks for labels fer2013, the server answers crowd",
        ),
    ],
)
def test_a_server_that_differs_is_not_used_and_that_is_said_once(
    server: PlayedServer, change: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in change.items():
        if isinstance(value, list):
            server.played.model.ClearField(name)
            getattr(server.played.model, name).extend(value)
        else:
            setattr(server.played.model, name, value)
    with caplog.at_level(logging.WARNING):
        link = server.link()
        try:
            wait_until(lambda: link._breaker.probes >= 2, "two handshakes")
            assert outcome(link) is Reason.MODEL_MISMATCH
        finally:
            link.close()
    assert sum(said in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("asked", "offered", "ready"),
    [
        (LabelSet.FER2013, [], True),  # a server from before there were two
        (LabelSet.CROWD, [], False),
        (LabelSet.FER2013, ["crowd", "fer2013"], True),
        (LabelSet.CROWD, ["crowd", "fer2013", "later"], True),
    ],
)
def test_a_server_is_used_where_it_answers_the_labels_asked_for(
    server: PlayedServer, asked: LabelSet, offered: list[str], ready: bool
) -> None:
    server.played.model.label_sets.extend(offered)
    link = server.link(labels=asked)
    try:
        assert link.wait_for_handshake(10) is ready
        assert link.refusal is (None if ready else Reason.MODEL_MISMATCH)
    finally:
        link.close()


def test_new_weights_on_the_server_are_noticed_when_a_call_is_refused(
    server: PlayedServer, link: Link
) -> None:
    server.played.model.fingerprint = "ffffffffffffffff"
    server.played.refuse = (grpc.StatusCode.FAILED_PRECONDITION, "model_mismatch")
    assert outcome(link) is Reason.MODEL_MISMATCH
    assert link.refusal is Reason.MODEL_MISMATCH
    server.played.model.fingerprint, server.played.refuse = FINGERPRINT, None
    wait_until(lambda: link.refusal is None, "the right weights to be noticed")


def test_the_token_is_sent(server: PlayedServer) -> None:
    link = server.link(token="sesame")
    try:
        assert link.wait_for_handshake(10)
        sent = {entry.key: entry.value for entry in server.played.metadata}
        assert sent["authorization"] == "Bearer sesame"
    finally:
        link.close()


def test_closing_is_prompt_whatever_the_server_does() -> None:
    link = Link(lambda: open_channel("127.0.0.1:9", None), FINGERPRINT, ["raw"])
    link.wait_for_handshake(10)
    start_s = time.monotonic()
    link.close()
    assert time.monotonic() - start_s < 5
    assert outcome(link) is Reason.LINK_DOWN
