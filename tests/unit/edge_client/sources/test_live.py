"""Cameras and streams that are not there, come back, or want to be asked otherwise."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitfer.edge_client.sources import decoder
from splitfer.edge_client.sources.live import Stream
from splitfer.edge_client.sources.open import open_source
from splitfer.edge_client.sources.video_decoder import VideoDecoder
from splitfer.shared.errors import SourceError, SourceRefused
from tests.camera import Camera, Connection, jpeg
from tests.processes import wait_until
from tests.unit.edge_client.sources.test_open import write_video

PATIENCE_S = 20.0


def test_a_stream_that_is_away_at_the_start_is_waited_for_and_each_cause_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "live.h264", count=2, format="h264")
    away = [SourceError("door: refused"), SourceError("door: refused"), SourceError("door: no way")]

    def opened() -> VideoDecoder:
        if away:
            raise away.pop()
        return VideoDecoder(str(path), "door")

    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > 3

    source = Stream("door", opened, wait=wait, patient=True)
    assert source.fps is None
    assert len(list(source)) == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 4
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        "door: no way",
        "door: refused",
        "door: pictures come, after 0 s",
        "door: it ended",
    ]


def test_without_patience_the_first_failure_is_an_error() -> None:
    def opened() -> VideoDecoder:
        raise SourceError("door: refused")

    with pytest.raises(SourceError):
        Stream("door", opened)


def test_a_wrong_password_is_not_tried_again() -> None:
    def opened() -> VideoDecoder:
        raise SourceRefused("door: it does not accept this user and password")

    with pytest.raises(SourceRefused):
        Stream("door", opened, patient=True)


def test_a_video_of_known_length_that_was_waited_for_ends(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    tries = [SourceError("web: refused")]

    def opened() -> VideoDecoder:
        if tries:
            raise tries.pop()
        return VideoDecoder(str(path), "web")

    source = Stream("web", opened, wait=lambda _: False, patient=True, ends=True)
    assert len(list(source)) == 6


class OneAnswer:
    """A camera on loopback that answers each request by ``answer(lines)``; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def answer(self, request: str) -> str | None:
        raise NotImplementedError

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rw", newline="\r\n") as file:
                while request := self._read(file):  # type: ignore[arg-type]
                    self.requests.append(request)
                    reply = self.answer(request)
                    if reply is None:
                        break
                    file.write(reply)
                    file.flush()

    @staticmethod
    def _read(file: Iterator[str]) -> str:
        lines = []
        for line in file:
            if not line.strip():
                break
            lines.append(line.strip())
        return "\n".join(lines)


class OverUdpAlone(OneAnswer):
    """An RTSP camera that refuses TCP with 461, and leaves once it was asked for UDP."""

    def answer(self, request: str) -> str | None:
        number = request.partition("CSeq: ")[2].split()[0]
        head = f"CSeq: {number}\n"
        if request.startswith("OPTIONS"):
            return f"RTSP/1.0 200 OK\n{head}Public: DESCRIBE, SETUP, PLAY\n\n"
        if request.startswith("DESCRIBE"):
            sdp = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=door\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
            )
            length = f"Content-Type: application/sdp\nContent-Length: {len(sdp)}\n\n"
            return f"RTSP/1.0 200 OK\n{head}{length}" + sdp.replace("\r\n", "\n")
        if "RTP/AVP/TCP" in request:
            return f"RTSP/1.0 461 Unsupported Transport\n{head}\n"
        return None


@pytest.fixture
def udp_camera() -> Iterator[OverUdpAlone]:
    camera = OverUdpAlone()
    yield camera
    camera.close()


@pytest.mark.parametrize(("transport", "asked"), [("tcp", ["TCP", "UDP"]), ("udp", ["UDP"])])
def test_a_camera_that_refuses_tcp_is_asked_for_udp(
    udp_camera: OverUdpAlone, transport: str, asked: list[str]
) -> None:
    address = f"rtsp://127.0.0.1:{udp_camera.port}/door"
    with pytest.raises(SourceError):
        open_source(address, rtsp_transport=transport)
    setups = [request for request in udp_camera.requests if request.startswith("SETUP")]
    ways = ["TCP" if "RTP/AVP/TCP" in setup else "UDP" for setup in setups]
    assert ways[: len(asked)] == asked


def test_a_stream_that_falls_silent_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "OPEN_TIMEOUT_S", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(SourceError) as caught:
            open_source(f"http://127.0.0.1:{port}/door")
    message = str(caught.value)
    assert "nothing came within" in message
    assert message.count("door") == 1
    assert "exit" not in message.lower()


def test_a_camera_that_freezes_is_lost_and_found_once_its_picture_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def freezes(connection: Connection) -> None:
        connection.pictures(20)
        while not connection.closed.wait(0.01):
            connection.part(jpeg(19))

    def frozen(connection: Connection) -> None:
        connection.begin()
        while not connection.closed.wait(0.01):
            connection.part(jpeg(19))

    indices, faults, came = [], set(), 0
    with (
        Camera([freezes, frozen, lambda connection: connection.pictures()]) as camera,
        open_source(camera.address, wait=True, frozen_s=0.5) as source,
    ):
        for frame in source:
            indices.append(frame.index)
            faults.add(source.fault)
            came += source.reopened >= 2
            if came > 3:
                break
    assert [one.getMessage().partition("stream: ")[2] for one in caplog.records] == [
        "the picture has not changed for 0.5 s; it is tried again until pictures come",
        f"pictures come, after {caplog.records[1].args[1]:.0f} s",  # type: ignore[index]
    ]
    assert faults == {None}
    assert indices == list(range(len(indices)))


def test_what_a_camera_is_waited_for_is_said() -> None:
    with open_source("http://127.0.0.1:1/none", wait=True) as source:
        thread = threading.Thread(target=lambda: list(source))
        thread.start()
        fault = wait_until(lambda: source.fault, "the source to say what is wrong")
        assert "connection refused" in fault
        source.close()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
