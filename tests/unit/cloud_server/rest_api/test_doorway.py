"""What a connection costs before it says a word."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.attack.certificate import write_certificate
from splitfer.cloud_server.admission.turns import FIRST, Turns
from splitfer.cloud_server.rest_api.doorway import Doorway, Guest

WAIT_S = 20.0


class Handshakes(ssl.SSLObject):
    """Counts those that were begun."""

    begun: ClassVar[set[int]] = set()

    def do_handshake(self) -> None:
        """Take a step of it."""
        self.begun.add(id(self))
        super().do_handshake()


class Echo(asyncio.Protocol):
    """Says what it hears."""

    guest: Guest | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Say it."""
        self.transport.write(data)

    def make_room(self) -> None:
        """Go."""
        self.transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """It is over."""
        assert self.guest is not None
        self.guest.left()


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's, and one of callers who trust it."""
    write_certificate(tmp_path / "tls.pem", tmp_path / "tls.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem", tmp_path / "tls.key")
    Handshakes.begun.clear()
    context.sslobject_class = Handshakes
    return context, ssl.create_default_context(cafile=str(tmp_path / "tls.pem"))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made


async def until(doorway: Doorway, inside: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while len(doorway.inside) != inside:  # noqa: ASYNC110  # a set tells nobody
            await asyncio.sleep(0)


def connected(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname())


async def test_nothing_of_tls_is_made_for_who_says_nothing(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], listener: socket.socket
) -> None:
    server, caller = contexts
    doorway = Doorway(listener, Echo, 100, WAIT_S, server, Turns())
    doorway.open(128)
    crowd = [connected(listener) for _ in range(50)]
    await until(doorway, 50)
    for one in crowd[:10]:
        one.close()
    await until(doorway, 40)
    assert not Handshakes.begun
    reader, writer = await asyncio.open_connection(*listener.getsockname(), ssl=caller)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert len(Handshakes.begun) == 1
    assert len(doorway.inside) == 41
    doorway.close()
    await doorway.wait_closed()
    assert len(doorway.inside) == 1  # who was silent is gone
    writer.close()
    await until(doorway, 0)
    for one in crowd[10:]:
        assert one.recv(1) == b""
        one.close()


async def test_the_silent_make_room_for_those_who_speak(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], listener: socket.socket
) -> None:
    server, caller = contexts
    doorway = Doorway(listener, Echo, 3, WAIT_S, server, Turns())
    doorway.open(128)
    crowd = [connected(listener) for _ in range(40)]
    reader, writer = await asyncio.open_connection(*listener.getsockname(), ssl=caller)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert len(doorway.inside) == 3
    for one in crowd[:-3]:
        assert one.recv(1) == b""
    doorway.close()
    await doorway.wait_closed()
    writer.close()
    await until(doorway, 0)
    for one in crowd:
        one.close()


async def test_silence_has_an_end(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], listener: socket.socket
) -> None:
    doorway = Doorway(listener, Echo, 3, 0.01, contexts[0], Turns())
    doorway.open(128)
    with connected(listener) as silent:
        await until(doorway, 1)
        await until(doorway, 0)
        assert silent.recv(1) == b""
    doorway.close()
    await doorway.wait_closed()


@pytest.mark.skipif(sys.platform != "linux", reason="no other system says it")
async def test_who_has_hung_up_comes_in_unless_a_crowd_of_its_address_waits(
    listener: socket.socket,
) -> None:
    heard: list[bytes] = []

    class Listening(Echo):
        """Keeps what it hears."""

        def data_received(self, data: bytes) -> None:
            """Keep it."""
            heard.append(data)
            super().data_received(data)

    turns = Turns(60)
    turns.owe("127.0.0.1")  # whose turn comes at once
    doorway = Doorway(listener, Listening, 100, WAIT_S, None, turns)
    listener.listen()
    for number in range(2 * FIRST):
        with connected(listener) as hasty:
            hasty.sendall(b"%d " % number)
    doorway.open(128)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert sorted(heard) == sorted([*(b"%d " % number for number in range(FIRST)), b"hello"])
    writer.close()
    await until(doorway, 0)
    doorway.close()
    await doorway.wait_closed()
