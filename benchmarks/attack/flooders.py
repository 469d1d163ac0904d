"""Attackers who keep a stream full of messages that are worth nothing."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from typing import Any

import grpc

from benchmarks.attack import messages as of
from benchmarks.attack.attackers import Attacker, channel, connected, handshake, together
from benchmarks.attack.server import HOSTILE, Target
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb


def small_frames(target: Target) -> None:
    """WebSockets of messages without a face, as many as are taken."""
    flood_sockets(target, of.EMPTY_STREAM_FRAME * 10_000)


def garbled_frames(target: Target) -> None:
    """The same of messages of a face that nobody can read."""
    flood_sockets(target, of.stream_frame(of.unreadable_payload()) * 10_000)


def garbled_streams(payload: bytes, faces: int) -> Attacker:
    """gRPC streams of messages of so many such faces, as many as are taken."""

    def attack(target: Target) -> None:
        request = pb.InferRequest(fingerprint=target.fingerprint, payloads=[payload] * faces)
        message = pb.InferStreamRequest(id=1, request=request).SerializeToString()

        def once() -> None:
            with contextlib.suppress(grpc.RpcError), channel(target) as to:
                call: Any = to.stream_stream(of.INFER_STREAM)
                known = (("authorization", f"Bearer {HOSTILE}"),)
                for _ in call(itertools.repeat(message), metadata=known):
                    pass

        together([once] * 4)

    return attack


def flood_sockets(target: Target, messages: bytes) -> None:
    """The same messages on four WebSockets, on and on."""

    def once() -> None:
        with contextlib.suppress(OSError), connected(target.http) as connection:
            connection.sendall(handshake(target))
            connection.recv(65536)
            threading.Thread(target=read_all, args=(connection,), daemon=True).start()
            while True:
                connection.sendall(messages)

    together([once] * 4)


def read_all(connection: socket.socket) -> None:
    """Read what comes, in a thread of its own, and drop it."""
    with contextlib.suppress(OSError):
        while connection.recv(2**20):
            pass
