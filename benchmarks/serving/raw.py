"""What a core can do at best: payloads decoded and run through the tail, without any server.

``python -m benchmarks.serving.raw`` prints one line of JSON; ``benchmarks.serving`` starts it on
the server's core. It also makes the payloads that are sent, from faces of the demo clip. Then it
answers each line with one: a number of seconds with the rate that it measured meanwhile, ``idle``
with what one face alone takes. Machines have better and worse minutes: what is compared is measured
at the same time.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.link.edge import FACES, KnownFaces, frames_with_one_face
from benchmarks.serving.peers.model import PeerModel
from splitfer.cloud_server.config import PREFIX, CloudConfig
from splitfer.cloud_server.weights.registry import Registry
from splitfer.edge_client.config import load_config
from splitfer.shared.settings import load_settings

BATCHES = (1, 2, 4, 8, 16, 32)
# How often faces come one by one. Each finds cold caches, and what its run takes then is no part of
# what a server adds.
IDLE_CALLS_PER_S, IDLE_CALLS = 20.0, 60
IDLE = "idle"


def demo_payloads() -> list[bytes]:
    """Payloads at the default rate."""
    device = KnownFaces(load_config(None, {"policy": "local"}))
    payloads = []
    for rgb, box in itertools.islice(frames_with_one_face(device), FACES):
        device.box = box
        payloads += device.payloads(device.find(rgb).z, device.rate)
    return payloads


def run_times_ms(
    model: PeerModel, payloads: list[bytes], seconds: float, sizes: Sequence[int] = BATCHES
) -> dict[int, float]:
    """Median milliseconds of a batch, decoding included; sizes take turns."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    endless = itertools.cycle(payloads)
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or not times[sizes[-1]]:
        for size in sizes:
            batch = list(itertools.islice(endless, size))
            start_s = time.perf_counter()
            model.run([model.decode(payload) for payload in batch])
            times[size].append((time.perf_counter() - start_s) * 1000)
    return {size: median(taken) for size, taken in times.items()}


def idle_ms(model: PeerModel, payloads: list[bytes]) -> float:
    """Median milliseconds of one face, decoding included, after a pause."""
    times = []
    for payload in itertools.islice(itertools.cycle(payloads), IDLE_CALLS):
        time.sleep(1 / IDLE_CALLS_PER_S)
        start_s = time.perf_counter()
        model.run([model.decode(payload)])
        times.append((time.perf_counter() - start_s) * 1000)
    return median(times)


def main() -> None:
    """Measure for as many seconds as the first argument says."""
    payloads, model = demo_payloads(), PeerModel()
    run_times_ms(model, payloads, 0)
    batch_ms = run_times_ms(model, payloads, float(sys.argv[1]))
    best = max(BATCHES, key=lambda size: size / batch_ms[size])
    config = load_settings(CloudConfig, PREFIX, None, {})
    batch_max = Registry.load(config).default.tail("").batch_max
    per_face_ms = batch_ms[best] / best
    result = {
        "payloads": [base64.b64encode(payload).decode() for payload in payloads],
        "batch_ms": {str(size): round(ms, 3) for size, ms in batch_ms.items()},
        "idle_ms": round(idle_ms(model, payloads), 3),
        "best_batch": best,
        "faces_per_s": round(1000 / per_face_ms, 1),
        "server_batch_max": batch_max,
        "server_batch_max_ms": round(batch_max * per_face_ms, 2),
    }
    print(json.dumps(result), flush=True)
    for line in sys.stdin:
        if line.strip() == json.dumps(IDLE):
            print(json.dumps(round(idle_ms(model, payloads), 3)), flush=True)
        else:
            took_ms = run_times_ms(model, payloads, float(line), (best,))[best]
            print(json.dumps(round(1000 * best / took_ms, 1)), flush=True)


if __name__ == "__main__":
    main()
