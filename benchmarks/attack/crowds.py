"""Attackers whose calls and requests each cost little, and bring nothing: many at a time."""

from __future__ import annotations

import contextlib
import itertools
import struct
import threading
import time
from typing import Any

from benchmarks.attack import messages as of
from benchmarks.attack.attackers import Attacker, channel, connected, hold, together
from benchmarks.attack.flooders import flood_sockets, read_all
from benchmarks.attack.server import HOSTILE, Target
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

_AT_ONCE = 100  # on one gRPC connection, as many as there may be
_PIPELINED = 1000


def calls(connections: int, known: bool, timeout_s: float | None = None) -> Attacker:
    """``Infer`` of a face, 100 at once on each connection, as fast as they are ended."""

    def attack(target: Target) -> None:
        request = pb.InferRequest(fingerprint=target.fingerprint, payloads=of.payloads(1))
        message = request.SerializeToString()
        metadata = (("authorization", f"Bearer {HOSTILE}"),) if known else ()

        def once() -> None:
            free = threading.Semaphore(_AT_ONCE)
            with channel(target) as to:
                call: Any = to.unary_unary(of.INFER)
                for _ in itertools.count():
                    free.acquire()
                    ended = call.future(message, timeout_s, metadata)
                    ended.add_done_callback(lambda _: free.release())

        together([once] * connections)

    return attack


def requests(path: str, connections: int = 4) -> Attacker:
    """``GET`` of this path, a thousand behind each other on each connection."""

    def attack(target: Target) -> None:
        several = _get(path) * _PIPELINED

        def once() -> None:
            with contextlib.suppress(OSError), connected(target.http) as connection:
                threading.Thread(target=read_all, args=(connection,), daemon=True).start()
                while True:
                    connection.sendall(several)

        together([once] * connections)

    return attack


def new_connections(path: str, at_once: int = 32) -> Attacker:
    """``GET`` of this path, each on a connection of its own, so many at once."""

    def attack(target: Target) -> None:
        def once() -> None:
            with contextlib.suppress(OSError), connected(target.http) as connection:
                connection.sendall(_get(path))
                connection.recv(65536)

        together([once] * at_once)

    return attack


def hasty(per_s: float = 1000) -> Attacker:
    """Connections that ask for a probe and hang up before the reply, at a steady rate."""

    def attack(target: Target) -> None:
        start_s = time.monotonic()
        for number in itertools.count():
            time.sleep(max(0.0, start_s + number / per_s - time.monotonic()))
            with contextlib.suppress(OSError), connected(target.http) as connection:
                connection.sendall(_get("/healthz"))

    return attack


def unread_probes(target: Target) -> None:
    """Ten thousand probes on each of 300 connections, whose replies nobody reads."""
    hold(target.http, 300, _get("/healthz") * 10 * _PIPELINED)


def late_frames(target: Target) -> None:
    """WebSockets of messages of a face that have a millisecond."""
    (payload,) = of.payloads(1)
    message = struct.pack(">IIQH", 1, 1, 0, len(payload)) + payload
    head = struct.pack(">BBH", 0x82, 0x80 | 126, len(message)) + bytes(4)
    flood_sockets(target, (head + message) * 500)


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
