"""A server is stopped while callers keep it busy: nobody goes without an answer."""

import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.integration.test_server_process import PICTURE, upload
from tests.processes import wait_until

CALLERS, FACES = 6, 3
# Nobody's time is up before the test has seen what it looks for.
SETTINGS = "drain_s: 600\npicture_threads: 1\n"
SYMBOLS = np.full((8, 28, 28), 128, np.uint8)
PAYLOAD = PayloadCodec(None, 3).encode(Latent(SYMBOLS, 0))
Status = health_pb2.HealthCheckResponse
NOT_OURS = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")


@pytest.fixture
def settings(tmp_path: Path) -> tuple[str, str]:
    file = tmp_path / "cloud.yaml"
    file.write_text(SETTINGS)
    return "--config", str(file)


class Callers:
    """Callers that ask one server, and where it says that the call may be sent again, another."""

    def __init__(self, first: CloudProcess, second: CloudProcess) -> None:
        self._servers = (first, second)
        self.seen: Counter[str] = Counter()
        self.failures: list[str] = []
        self._refused: set[int] = set()
        self._stop = threading.Event()

    def run(self, number: int) -> None:
        request = pb.InferRequest(
            fingerprint=self._servers[0].fingerprint, payloads=[PAYLOAD] * FACES
        )
        with self._servers[0].channel() as one, self._servers[1].channel() as other:
            stubs = [pb_grpc.SplitFerStub(channel) for channel in (one, other)]
            while not self._stop.is_set():
                try:
                    self._ask(stubs, request, number)
                except Exception as error:
                    self.failures.append(repr(error))
                    return

    def _ask(
        self, stubs: list[pb_grpc.SplitFerStub], request: pb.InferRequest, number: int
    ) -> None:
        try:
            reply, by = stubs[0].Infer(request, timeout=PATIENCE_S), "first"
        except grpc.RpcError as error:
            trailing = dict(error.trailing_metadata() or ())
            # Without a code of ours the connection is closed and the call was not looked at. One
            # that arrives in the very moment of closing, gRPC's server ends with CANCELLED.
            retryable = trailing.get("splitfer-retryable", "true") == "true"
            closed = error.code() is grpc.StatusCode.CANCELLED and "splitfer-code" not in trailing
            unavailable = error.code() is grpc.StatusCode.UNAVAILABLE and retryable
            if not (closed or unavailable):
                raise
            self.seen[trailing.get("splitfer-code", "closed")] += 1
            if "splitfer-code" in trailing:
                self._refused.add(number)
            reply, by = stubs[1].Infer(request, timeout=PATIENCE_S), "second"
        assert [result.WhichOneof("result") for result in reply.results] == ["answer"] * FACES
        self.seen[by] += 1

    def everyone_was_refused(self) -> bool:
        return len(self._refused) == CALLERS or bool(self.failures)

    def stop(self) -> None:
        self._stop.set()


def test_nobody_goes_without_an_answer(settings: tuple[str, str]) -> None:
    with (
        CloudProcess(default_folder(), *settings) as first,
        CloudProcess(default_folder(), *settings) as second,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        callers = Callers(first, second)
        for number in range(CALLERS):
            pool.submit(callers.run, number)
        try:
            wait_until(lambda: callers.seen["first"] >= 2 * CALLERS, "load")
            with upload(first) as unfinished:  # so that the drain lasts until we say so
                first.signal(signal.SIGTERM)
                wait_until(callers.everyone_was_refused, "a refusal for each caller")
                wait_until(lambda: callers.seen["second"] >= 2 * CALLERS, "the other server")
                reply = httpx.get(f"http://{first.http}/readyz", timeout=60, trust_env=False)
                assert reply.status_code == 503
                assert reply.json()["reason"] == "draining"
                unfinished.sendall(PICTURE[10:])
                assert unfinished.recv(100).startswith(b"HTTP/1.1 200 ")
            assert first.exit_code() == 0
            answered = callers.seen["second"]
            wait_until(lambda: callers.seen["second"] >= answered + CALLERS, "life without it")
        finally:
            callers.stop()
    assert callers.failures == []
    assert callers.seen["not_ready"] >= CALLERS
    assert "in flight" not in first.log
    # All that it let in was answered: its books know no other ends.
    ends = {word.split()[1] for word in _requests(first.log)}
    assert ends == {"ok", "not_ready"}


def _requests(log: str) -> list[str]:
    line = next(line for line in log.splitlines() if "stopped; requests " in line)
    return line.split("(")[1].split(")")[0].split(", ")


def test_health_of_each_service_follows_the_drain(settings: tuple[str, str]) -> None:
    with CloudProcess(default_folder(), *settings) as server, server.channel() as channel:
        names = ["", *set(ProtoReflectionDescriptorDatabase(channel).get_services()) - {*NOT_OURS}]
        assert "splitfer.v1.SplitFer" in names
        health = health_pb2_grpc.HealthStub(channel)

        def statuses() -> set[int]:
            requests = [health_pb2.HealthCheckRequest(service=name) for name in names]
            return {health.Check(one, timeout=PATIENCE_S).status for one in requests}

        assert statuses() == {Status.SERVING}
        with upload(server) as unfinished:
            server.signal(signal.SIGTERM)
            server.wait_for_line("draining")
            assert statuses() == {Status.NOT_SERVING}
            unfinished.sendall(PICTURE[10:])
            assert unfinished.recv(100).startswith(b"HTTP/1.1 200 ")
        assert server.exit_code() == 0
