"""The tail under Ray Serve's batches: ``python -m benchmarks.serving.peers.ray_batch PORT``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

# Ray steps back for other processes unless told otherwise, and a benchmark shall be fair.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Its parts have a few seconds to start, which is short on one core.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "150")
os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.serving.peers.model import BATCH_MAX, PeerModel


@serve.deployment(
    max_ongoing_requests=4 * BATCH_MAX, max_queued_requests=256, ray_actor_options={"num_cpus": 0.1}
)
class TailDeployment:
    """One replica."""

    def __init__(self) -> None:
        self._model = PeerModel()

    @serve.batch(max_batch_size=BATCH_MAX, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]
    async def run(self, payloads: list[bytes]) -> list[list[float]]:
        """One run."""
        rows = self._model.run([self._model.decode(payload) for payload in payloads])
        return [row.tolist() for row in rows]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One face."""
        return {"probabilities": await self.run(await request.body())}


def main() -> None:
    """Serve until SIGTERM."""
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(TailDeployment.bind())  # type: ignore[attr-defined]  # the decorator adds it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        signal.pause()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
