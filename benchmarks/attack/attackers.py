"""The attackers: each repeats one thing for as long as it is let. None of them reads more of the
replies than it must. They are nice, so that a machine which they share with the server is not what
they take from it.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from benchmarks.attack import messages as of
from benchmarks.attack.server import HOSTILE, Target
from benchmarks.attack.unfinished import UnfinishedStreams
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

Attacker = Callable[[Target], None]
_KNOWN = (("authorization", f"Bearer {HOSTILE}"),)
_PATIENCE_S = 30.0


def channel(target: Target) -> grpc.Channel:
    """A connection of its own."""
    return grpc.insecure_channel(target.grpc, [("grpc.use_local_subchannel_pool", 1)])


def calls(
    method: str,
    message: bytes,
    known: bool,
    at_once: int = 4,
    timeout_s: float = _PATIENCE_S,
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> Attacker:
    """gRPC calls, so many at once, by a stranger or with a token of its own."""

    def attack(target: Target) -> None:
        with channel(target) as to:
            call: Any = to.unary_unary(method)
            metadata = _KNOWN if known else ()

            def once() -> None:
                with contextlib.suppress(grpc.RpcError):
                    call(message, timeout=timeout_s, metadata=metadata, compression=compression)

            together([once] * at_once)

    return attack


def posts(
    path: str, body: Callable[[], bytes], headers: dict[str, str], known: bool, at_once: int = 4
) -> Attacker:
    """HTTP requests, so many at once."""

    def attack(target: Target) -> None:
        content = body()
        more = {"Authorization": f"Bearer {HOSTILE}"} if known else {}

        def once() -> None:
            host, _, port = target.http.rpartition(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=_PATIENCE_S)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("POST", path, content, headers | more)
                connection.getresponse().read()
            connection.close()

        together([once] * at_once)

    return attack


def faces(count: int, deadline_ms: float, at_once: int) -> Attacker:
    """``Infer`` of so many faces a call, with a token."""

    def attack(target: Target) -> None:
        request = pb.InferRequest(fingerprint=target.fingerprint, payloads=of.payloads(count))
        once = calls(of.INFER, request.SerializeToString(), True, at_once, deadline_ms / 1000)
        once(target)

    return attack


def small_chunks(target: Target) -> None:
    """Chunks of a byte, on and on, whatever the reply: 400 KiB/s on four connections."""

    def once() -> None:
        with contextlib.suppress(OSError), connected(target.http) as connection:
            connection.sendall(of.CHUNKED)
            while True:
                connection.sendall(of.SMALL_CHUNK * 1700)
                time.sleep(0.1)

    together([once] * 4)


def watches(target: Target) -> None:
    """Health watches of names of megabytes, and as many that are never read."""
    with channel(target) as to:
        watch = health_pb2_grpc.HealthStub(to).Watch

        def once() -> None:
            with contextlib.suppress(grpc.RpcError):
                next(watch(health_pb2.HealthCheckRequest(service="x" * 8_000_000), timeout=5))

        held = [watch(health_pb2.HealthCheckRequest()) for _ in range(60)]
        together([once] * 4)
        del held


def reflections(target: Target) -> None:
    """Reflection streams that say nothing."""
    silence = threading.Event()

    def nothing() -> Sequence[reflection_pb2.ServerReflectionRequest]:
        silence.wait()
        return ()

    with channel(target) as to:
        ask = reflection_pb2_grpc.ServerReflectionStub(to).ServerReflectionInfo

        def once() -> None:
            with contextlib.suppress(grpc.RpcError):
                next(ask((one for one in nothing()), metadata=_KNOWN, timeout=_PATIENCE_S))

        together([once] * 40)


def idle_connections(target: Target) -> None:
    """gRPC connections that do nothing, as many as there may be."""
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    hold(target.grpc, 4500, hello)


def silent_connections(target: Target) -> None:
    """Connections to the port of TLS that say nothing."""
    hold(target.http, 2500, b"")


def stalled_bodies(target: Target) -> None:
    """Bodies that are there but for their last byte."""
    size = 8 * 2**20
    head = (
        f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {HOSTILE}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()
    hold(target.http, 300, head + bytes(size - 1), wait_s=20)


def unread_pages(target: Target) -> None:
    """Pages' largest file, unpacked, by callers that take none of it."""
    held: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            held.append(connected(target.http))
            held[-1].sendall(of.UNPACKED_PAGE)
        time.sleep(0.01)
        if len(held) > 500:
            reset(held.pop(0))


def unfinished_sockets(target: Target) -> None:
    """WebSockets whose messages lack their last byte."""
    size = 250_000
    # Masked with nothing: a mask of zeros.
    head = b"\x82\xff" + struct.pack(">Q", size) + bytes(4)
    hold(target.http, 256, handshake(target), head + bytes(size - 1))


def unfinished_streams(target: Target) -> None:
    """Thousands of gRPC streams whose messages lack their last byte."""

    def once() -> None:
        with contextlib.suppress(OSError), connected(target.grpc) as connection:
            streams = UnfinishedStreams(connection, of.INFER_STREAM, HOSTILE, 100, 250_000)
            while True:
                streams.go_on(_PATIENCE_S)

    together([once] * 40)


def strangers(calls_per_s: float = 1800) -> Attacker:
    """Calls without a token on one connection, at a steady rate."""

    def attack(target: Target) -> None:
        message = pb.InferRequest(fingerprint=target.fingerprint, payloads=of.payloads(1))
        data = message.SerializeToString()
        with channel(target) as to:
            call: Any = to.unary_unary(of.INFER)
            start_s = time.monotonic()
            for number in itertools.count():
                time.sleep(max(0.0, start_s + number / calls_per_s - time.monotonic()))
                call.future(data, timeout=_PATIENCE_S)

    return attack


def hold(
    address: str, count: int, words: bytes, after_reply: bytes = b"", wait_s: float = 1.0
) -> None:
    """Keep so many connections that have said ``words``, and ``after_reply`` once something came
    back; those that are closed come anew."""
    held: list[socket.socket] = []
    while True:
        while len(held) < count:
            try:
                one = connected(address)
                held.append(one)
                one.sendall(words)
                if after_reply and one.recv(65536):
                    one.sendall(after_reply)
            except OSError:
                break
        time.sleep(wait_s)
        held = [one for one in held if _is_open(one)]


def connected(address: str) -> socket.socket:
    """A bare connection."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=_PATIENCE_S)


def together(several: Sequence[Callable[[], None]]) -> None:
    """Repeat each in a thread of its own, for ever."""

    def forever(once: Callable[[], None]) -> None:
        while True:
            start_s = time.monotonic()
            once()
            # Where every one is refused at once, a machine of two cores has no time but for this.
            time.sleep(max(0.0, 0.002 - (time.monotonic() - start_s)))

    threads = [threading.Thread(target=forever, args=(one,), daemon=True) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def reset(connection: socket.socket) -> None:
    """Close it at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def handshake(target: Target) -> bytes:
    """The request that makes a connection a WebSocket of latents."""
    return (
        f"GET /v1/latents/stream?fingerprint={target.fingerprint} HTTP/1.1\r\nHost: x\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer {HOSTILE}\r\n\r\n"
    ).encode()


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        connection.settimeout(_PATIENCE_S)
        return True
    except OSError:
        pass
    reset(connection)
    return False
