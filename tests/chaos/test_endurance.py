"""A long run in which half of the calls are cancelled: nothing leaks, no answer is another's."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.link import Link
from splitfer.shared.deadline import Deadline
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub
from splitfer.shared.weights import Weights, default_folder
from tests.chaos.conftest import CHAOS_MINUTES
from tests.chaos.faces import TOLERANCE, Picture
from tests.processes import Server, wait_until

SECONDS = 60 * CHAOS_MINUTES or 6
AT_ONCE = 4
CALL_S = 30.0
# After this share of the run everything has its size: caches, arenas, threads.
SETTLED_SHARE = 0.3
GROWTH = 1.05
SLACK_BYTES = 8 * 2**20


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="sizes are read from /proc"
)


class Calls:
    """Calls for known faces on one channel, half of them cancelled at some moment."""

    def __init__(self, address: str, pictures: Sequence[Picture]) -> None:
        self._channel = open_channel(address, None)
        self._stub = SplitFerStub(self._channel)  # type: ignore[no-untyped-call]
        manifest = Weights(default_folder()).manifest
        self._fingerprint, self._rate = manifest.fingerprint, manifest.default_rate
        self._pictures = pictures
        self._tick = threading.Event()
        self.answered = self.cancelled = 0

    def some(self, rng: random.Random) -> None:
        """A few at once; those that are not cancelled are answered rightly."""
        chosen = rng.choices(self._pictures, k=AT_ONCE)
        calls = [
            self._stub.Infer.future(
                pb.InferRequest(fingerprint=self._fingerprint, payloads=one.payloads),
                timeout=CALL_S,
            )
            for one in chosen
        ]
        given_up = rng.sample(range(AT_ONCE), AT_ONCE // 2)
        pause_s = rng.choice((0.0, 0.001, 0.005, 0.02))
        self._tick.wait(pause_s)
        for index in given_up:
            calls[index].cancel()
        for index, (call, picture) in enumerate(zip(calls, chosen, strict=True)):
            if index in given_up:
                self.cancelled += 1
                continue
            self.answered += 1
            for result, face in zip(call.result().results, picture.faces, strict=True):
                probabilities = result.answer.probabilities
                assert face.off("cloud", self._rate, probabilities) <= TOLERANCE

    def close(self) -> None:
        self._channel.close()


def abandon_some(link: Link, pictures: Sequence[Picture], rng: random.Random) -> None:
    """As the edge gives up: it does not wait, and its deadline passes or does not."""
    if link.refusal is None:
        call = link.infer(rng.choice(pictures).payloads, Deadline.after_ms(rng.choice((1, 5, 200))))
        call.abandon()


def test_files_and_memory_stay_flat(server: Server, pictures: list[Picture]) -> None:
    rng = random.Random(0)
    weights = Weights(default_folder())
    calls = Calls(server.address, pictures)
    link = Link(
        lambda: open_channel(server.address, None),
        weights.manifest.fingerprint,
        weights.payload_codec.names,
        labels=weights.manifest.default_label_set,
    )
    pids = {"server": server.pid, "edge": os.getpid()}
    settled: dict[str, tuple[int, int]] = {}
    start_s = time.monotonic()
    try:
        while (passed_s := time.monotonic() - start_s) < SECONDS or calls.answered < 50:
            calls.some(rng)
            abandon_some(link, pictures, rng)
            if rng.random() < 0.02:  # a connection ends with calls on it
                calls.close()
                calls = again(calls, server.address, pictures)
            if not settled and passed_s > SETTLED_SHARE * SECONDS:
                settled = {name: sizes(pid) for name, pid in pids.items()}
    finally:
        calls.close()
        link.close()
    assert calls.cancelled == calls.answered
    for name, pid in pids.items():
        files, memory = settled[name]
        wait_until(lambda pid=pid, files=files: open_files(pid) <= files + 2, f"{name}: open files")
        grown = resident_bytes(pid)
        assert grown <= GROWTH * memory + SLACK_BYTES, f"{name}: {memory} -> {grown} bytes"
    print({name: (settled[name], sizes(pid)) for name, pid in pids.items()}, calls.answered)


def again(calls: Calls, address: str, pictures: Sequence[Picture]) -> Calls:
    fresh = Calls(address, pictures)
    fresh.answered, fresh.cancelled = calls.answered, calls.cancelled
    return fresh


def sizes(pid: int) -> tuple[int, int]:
    return open_files(pid), resident_bytes(pid)
