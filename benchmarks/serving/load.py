"""Who asks: an open-loop generator in a process of its own, on a core of its own.

Calls have intended times, drawn beforehand (Poisson); they are sent then, or as soon as may be
after, and every time counts from the intended one: a server that stalls does not stop the clock.
It reads one JSON order a line and answers each with one line.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from benchmarks.net.http1_caller import Http1Pool
from benchmarks.net.http2_caller import Http2Caller, header_block
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

HOST = "127.0.0.1"
# As from so many devices; and as many HTTP/1.1 connections as calls may be under way.
CONNECTIONS, HTTP_CONNECTIONS = 4, 256
# What was not answered so long after its deadline never is.
_PATIENCE_S, _LOOK_S = 1.0, 0.01
# asyncio rounds its naps up to a millisecond.
_NAP_S = 0.001
# Calls that the server cancels unheard since more come than it can refuse; what is a refusal.
SHED, _CANCELLED = "shed", grpc.StatusCode.CANCELLED.value[0]
REFUSALS = ("overloaded", SHED)

# Told of a call: how many faces were answered, and the code of its faces that were not.
Outcome = Callable[[int, str], None]


@dataclass
class Tally:
    """What became of the calls; times in ms since the intended instant."""

    deadline_ms: float
    sent: int = 0
    answered_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    late_sending_ms: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    faces_in_time: int = 0
    ended: int = 0

    def outcome(self, intended_s: float) -> Outcome:
        """How one call is counted when it ends."""

        def ended(faces: int, code: str) -> None:
            ms = (time.perf_counter() - intended_s) * 1000
            self.ended += 1
            self.codes[code or "ok"] += 1
            if faces:
                self.answered_ms.append(ms)
                self.faces_in_time += faces if ms <= self.deadline_ms else 0
            elif code in REFUSALS:
                self.refused_ms.append(ms)

        return ended

    def row(self, seconds: float) -> dict[str, Any]:
        """For the result."""
        return {
            "sent_calls_per_s": round(self.sent / seconds, 1),
            "faces_in_time_per_s": round(self.faces_in_time / seconds, 1),
            "unanswered": self.sent - self.ended,
            "codes": dict(self.codes),
            "answered_ms": _percentiles(self.answered_ms),
            "refused_ms": _percentiles(self.refused_ms),
            "late_sending_ms": _percentiles(self.late_sending_ms),
        }


class Caller(ABC):
    """Sends one call at a time; ``open`` first, ``close`` last."""

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    def send(self, number: int, outcome: Outcome) -> None:
        """One call, the ``number``-th."""

    @abstractmethod
    def close(self) -> None:
        """Hang up."""


class GrpcCaller(Caller):
    """``Infer``, or with ``streams`` ``InferStream``."""

    def __init__(self, order: dict[str, Any], payloads: list[bytes], streams: bool) -> None:
        self._port, self._streams = order["port"], streams
        self._deadline_ms, self._faces = order["deadline_ms"], order["faces"]
        self._requests = [
            pb.InferRequest(
                fingerprint=order["fingerprint"],
                payloads=[payloads[(at + face) % len(payloads)] for face in range(self._faces)],
            )
            for at in range(len(payloads))
        ]
        self._messages = [request.SerializeToString() for request in self._requests]
        self._under_way: dict[int, Outcome] = {}
        self._connections: list[Http2Caller] = []

    async def open(self) -> None:
        """See ``Caller``."""
        method = "/splitfer.v1.SplitFer/" + ("InferStream" if self._streams else "Infer")
        timeout_ms = 0 if self._streams else int(self._deadline_ms)
        block = header_block(f"{HOST}:{self._port}", method, timeout_ms)
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(
                lambda: Http2Caller(block), HOST, self._port
            )
            self._connections.append(connection)
            if self._streams:
                connection.open_stream(self._came)

    def send(self, number: int, outcome: Outcome) -> None:
        """See ``Caller``."""
        connection = self._connections[number % CONNECTIONS]
        if self._streams:
            self._under_way[number] = outcome
            message = pb.InferStreamRequest(
                id=number,
                deadline_ms=self._deadline_ms,
                sent_ms=time.monotonic() * 1000,
                request=self._requests[number % len(self._requests)],
            )
            connection.say(message.SerializeToString())
            return

        def done(message: bytes | None, status: int | None) -> None:
            if message is None:
                outcome(0, SHED if status == _CANCELLED else "failed")
            else:
                outcome(*_read(pb.InferResponse.FromString(message)))

        connection.call(self._messages[number % len(self._messages)], done)

    def close(self) -> None:
        """See ``Caller``."""
        for connection in self._connections:
            connection.close()

    def _came(self, message: bytes) -> None:
        try:
            answer = pb.InferStreamResponse.FromString(message)
        except DecodeError:
            return
        outcome = self._under_way.pop(answer.id)
        if answer.WhichOneof("outcome") == "error":
            outcome(0, answer.error.code)
        else:
            outcome(*_read(answer.response))


class HttpCaller(Caller):
    """One face a POST, as base64 in JSON or as it is."""

    def __init__(self, order: dict[str, Any], payloads: list[bytes]) -> None:
        self._pool = Http1Pool(HOST, order["port"], HTTP_CONNECTIONS)
        path = order["path"]
        if order["body"] == "json":
            bodies = [json.dumps({"payload": base64.b64encode(p).decode()}) for p in payloads]
            encoded = [body.encode() for body in bodies]
            self._requests = [self._pool.request(path, "application/json", e) for e in encoded]
        else:
            kind = "application/octet-stream"
            self._requests = [self._pool.request(path, kind, payload) for payload in payloads]

    async def open(self) -> None:
        """See ``Caller``."""
        await self._pool.open()

    def send(self, number: int, outcome: Outcome) -> None:
        """See ``Caller``."""

        def done(status: int) -> None:
            if status == 200:
                outcome(1, "")
            else:
                outcome(0, "overloaded" if status == 503 else "failed")

        self._pool.call(self._requests[number % len(self._requests)], done)

    def close(self) -> None:
        """See ``Caller``."""
        self._pool.close()


async def offer(order: dict[str, Any], payloads: list[bytes]) -> dict[str, Any]:
    """Offer ``rate`` calls a second for ``seconds`` after ``warm_s`` that do not count."""
    protocol, rng = order["protocol"], random.Random(order["seed"])
    caller = (
        HttpCaller(order, payloads)
        if protocol == "http"
        else GrpcCaller(order, payloads, protocol == "stream")
    )
    await caller.open()
    warming, tally = Tally(order["deadline_ms"]), Tally(order["deadline_ms"])
    start_s = time.perf_counter() + 0.05
    counts_s = start_s + order["warm_s"]
    end_s = counts_s + order["seconds"]
    intended_s, number = start_s, 0
    while intended_s < end_s:
        now_s = time.perf_counter()
        while intended_s <= now_s and intended_s < end_s:
            here = tally if intended_s >= counts_s else warming
            here.sent += 1
            here.late_sending_ms.append((now_s - intended_s) * 1000)
            caller.send(number, here.outcome(intended_s))
            number += 1
            intended_s += rng.expovariate(order["rate"])
            now_s = time.perf_counter()
            if number % 16 == 0:  # answers want to be read, too
                await asyncio.sleep(0)
        # Timers are coarse: the last part is spent looking, since this core has nothing else to do.
        await asyncio.sleep(max(0.0, min(intended_s - time.perf_counter() - _NAP_S, 0.01)))
    for _ in range(math.ceil((order["deadline_ms"] / 1000 + _PATIENCE_S) / _LOOK_S)):
        if tally.ended == tally.sent:
            break
        await asyncio.sleep(_LOOK_S)
    caller.close()
    await asyncio.sleep(0)
    return tally.row(order["seconds"])


def _read(reply: pb.InferResponse) -> tuple[int, str]:
    faces = sum(result.HasField("answer") for result in reply.results)
    code = next((r.error.code for r in reply.results if r.HasField("error")), "")
    return faces, code


def _percentiles(times_ms: list[float]) -> dict[str, float] | None:
    if not times_ms:
        return None
    shares = (50, 95, 99)
    values = np.percentile(times_ms, shares)
    return {f"p{share}": round(float(ms), 3) for share, ms in zip(shares, values, strict=True)}


def main() -> None:
    """Obey orders until the input ends. The first line is the payloads."""
    payloads = [base64.b64decode(one) for one in json.loads(sys.stdin.readline())]
    for line in sys.stdin:
        print(json.dumps(asyncio.run(offer(json.loads(line), payloads))), flush=True)


if __name__ == "__main__":
    main()
