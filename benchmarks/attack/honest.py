"""Who asks honestly meanwhile: faces, pictures and probes, each at a modest rate."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.attack.messages import INFER, payloads
from benchmarks.attack.server import HONEST, Target
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb

# A call waits for so long; one that has no answer then has failed.
PATIENCE_S = 10.0
PICTURE = Path(__file__).parents[2] / "cloud_server" / "rest_api" / "page" / "example.jpg"
# Calls a second of each kind.
RATES = {"face": 8.0, "picture": 2.0, "probe": 2.0}


@dataclass
class Outcomes:
    """What became of one kind of calls."""

    times_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def row(self) -> dict[str, Any]:
        """For the result. A failed call's time counts too: it was waited for."""
        asked = len(self.times_ms)
        p50, p95 = np.percentile(self.times_ms, (50, 95)) if self.times_ms else (0.0, 0.0)
        return {
            "asked": asked,
            "failed": dict(self.failures),
            "p50_ms": round(float(p50), 2),
            "p95_ms": round(float(p95), 2),
        }


class HonestCaller:
    """Keeps one gRPC channel, as devices do; each HTTP request comes on a connection of its own."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._picture = PICTURE.read_bytes()
        self._request = pb.InferRequest(fingerprint=target.fingerprint, payloads=payloads(1))
        options = [("grpc.use_local_subchannel_pool", 1)]
        if target.ca:
            root = grpc.ssl_channel_credentials(Path(target.ca).read_bytes())
            self._channel = grpc.secure_channel(target.grpc, root, options)
            self._tls: ssl.SSLContext | None = ssl.create_default_context(cafile=target.ca)
        else:
            self._channel, self._tls = grpc.insecure_channel(target.grpc, options), None
        self._infer: Any = self._channel.unary_unary(
            INFER, pb.InferRequest.SerializeToString, pb.InferResponse.FromString
        )

    def ask(self, seconds: float) -> dict[str, Outcomes]:
        """Ask for so long; what became of it, by kind."""
        outcomes = {kind: Outcomes() for kind in RATES}
        calls: dict[str, Callable[[], None]] = {
            "face": self._face,
            "picture": lambda: self._http("POST", "/v1/faces", self._picture),
            "probe": lambda: self._http("GET", "/readyz", None),
        }
        end_s = time.monotonic() + seconds
        threads = [
            # Whoever is told to end does not wait for them.
            threading.Thread(
                target=_repeat, args=(calls[kind], 1 / RATES[kind], end_s, into), daemon=True
            )
            for kind, into in outcomes.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _face(self) -> None:
        metadata = (("authorization", f"Bearer {HONEST}"),)
        reply = self._infer(self._request, timeout=PATIENCE_S, metadata=metadata)
        (result,) = reply.results
        if result.HasField("error"):
            raise RuntimeError(result.error.code)

    def _http(self, method: str, path: str, body: bytes | None) -> None:
        host, _, port = self._target.http.rpartition(":")
        if self._tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, int(port), timeout=PATIENCE_S, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {HONEST}"})
            response = connection.getresponse()
            response.read()
            if response.status != http.client.OK:
                raise RuntimeError(str(response.status))
        finally:
            connection.close()


def _repeat(call: Callable[[], None], every_s: float, end_s: float, into: Outcomes) -> None:
    next_s = time.monotonic()
    while next_s < end_s:
        time.sleep(max(0.0, next_s - time.monotonic()))
        start_s = time.monotonic()
        try:
            call()
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            into.failures[_why(error)] += 1
        except grpc.RpcError as error:
            into.failures[error.code().name.lower()] += 1
        into.times_ms.append((time.monotonic() - start_s) * 1000)
        # One that waits asks no more than one that does not.
        next_s = max(next_s + every_s, time.monotonic())


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, RuntimeError) else type(error).__name__
