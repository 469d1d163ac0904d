"""The device's side of ``benchmarks.link``: one face at a time, by the strategy that is asked for.

Runs as a process of its own, where the link and the processor are those of a weak device. It reads
one JSON order a line and answers each with one line. Faces are known beforehand: no strategy pays
for the search, which is the same for all but `image`, where the server searches.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.link.two_way import METHOD, Parts
from splitfer.edge_client.choices import Objective, Policy
from splitfer.edge_client.config import EdgeConfig, load_config
from splitfer.edge_client.device import Device, FoundFaces
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.link import Link
from splitfer.edge_client.offload.offload import Offload
from splitfer.edge_client.policy.router import make_router
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.codec import raw
from splitfer.shared.contracts import Box
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder

# So long that no strategy of one path ever falls back.
NO_DEADLINE_MS = 60_000.0
HANDSHAKE_S = 20.0
FACES = 12
Outcome = dict[str, Any]


class KnownFaces(Device):
    """A device that is told where the face is."""

    box: Box

    def find(self, rgb: NDArray[np.uint8]) -> FoundFaces:
        """Head and crop as ever, without the search."""
        return self.look(to_grey(rgb), (self.box,), 0.0)


def frames_with_one_face(device: Device) -> Iterator[tuple[NDArray[np.uint8], Box]]:
    """Frames of the bundled clip, far apart."""
    with open_source("demo") as clip:
        for frame in clip:
            if frame.index % 5 == 0:
                found = Device.find(device, frame.rgb)
                if isinstance(found, FoundFaces) and len(found.boxes) == 1:
                    yield frame.rgb, found.boxes[0]


class Strategies:
    """Everything that can be asked for, over links of its own for each that needs one."""

    def __init__(self, weights: Path, server: str, two_way: str) -> None:
        self._server, self._weights = server, weights
        loaded = Weights(weights)
        self._manifest, self._quantiser = loaded.manifest, loaded.quantiser
        self._rate = loaded.rate_index("")
        self._device = KnownFaces(self._config(Policy.LOCAL, NO_DEADLINE_MS))
        self._parts = Parts.of(loaded, 1)
        self._full_tail = loaded.tail(loaded.manifest.default_tail, 1)
        self._steps = loaded.quantiser.steps(self._rate)
        self._two_way: Callable[..., bytes] = grpc.insecure_channel(two_way).unary_unary(METHOD)
        self._links: list[Link] = []
        self._by_name: dict[str, Callable[[NDArray[np.uint8]], Outcome]] = {}
        self._offloads: list[Offload] = []
        faces = list(frames_with_one_face(self._device))
        self.frames = faces[:: max(1, len(faces) // FACES)][:FACES]

    def open(self, deadline_ms: float) -> list[str]:
        """New links and nothing learnt yet: the conditions are others now. Gives the names."""
        for link in self._links:
            link.close()
        self._links.clear()
        self._offloads.clear()
        self._by_name = {"full": self._full, "two-way": self._there_and_back}
        fixed = partial(self._config, deadline_ms=NO_DEADLINE_MS)
        free = partial(self._config, deadline_ms=deadline_ms)
        self._by_name["local"] = self._offload(free(Policy.LOCAL))
        self._by_name["image"] = self._offload(fixed(Policy.IMAGE))
        for rate in self._manifest.rates:
            self._by_name[f"cloud:{rate.name}"] = self._offload(fixed(Policy.CLOUD, rate=rate.name))
        fastest = free(Policy.AUTO, objective=Objective.LATENCY)
        self._by_name["auto:latency"] = self._offload(fastest)
        self._by_name["auto"] = self._offload(free(Policy.AUTO))
        self._by_name["cascade"] = self._offload(free(Policy.CASCADE))
        for link in self._links:
            link.wait_for_handshake(HANDSHAKE_S)
        return list(self._by_name)

    def go(self, name: str, index: int) -> Outcome:
        """Answer one face; what it took, and how it was answered."""
        rgb, self._device.box = self.frames[index % len(self.frames)]
        start_s, processor_s = time.monotonic(), time.process_time()
        outcome = self._by_name[name](rgb)
        took_ms = (time.monotonic() - start_s) * 1000
        processor_ms = (time.process_time() - processor_s) * 1000
        for offload in self._offloads:  # as the pipeline does, when the answers are given on
            offload.learn()
        return {"ms": took_ms, "processor_ms": processor_ms, **outcome}

    def _config(self, policy: Policy, deadline_ms: float, **settings: Any) -> EdgeConfig:
        server = None if policy is Policy.LOCAL else self._server
        flags = {"policy": policy, "server": server, "weights": self._weights, **settings}
        return load_config(None, {"deadline_ms": deadline_ms, **flags})

    def _offload(self, config: EdgeConfig) -> Callable[[NDArray[np.uint8]], Outcome]:
        """The product's own way from a frame to an answer."""
        shared, link = self._device, None
        if config.server is not None:
            opener = partial(open_channel, config.server, None)
            link = Link(opener, shared.fingerprint, shared.codecs, labels=shared.label_set)
            self._links.append(link)
        device = copy.copy(shared)
        device.rate = config.rate or shared.rate
        router = make_router(config, device.manifest, device.rate, device.label_set)
        cascade = config.cascade_threshold if config.policy is Policy.CASCADE else None
        offload = Offload(device, link, router, config.deadline_ms, config.jpeg_quality, cascade)
        self._offloads.append(offload)

        def answer(rgb: NDArray[np.uint8]) -> Outcome:
            device.box = shared.box
            faces = offload.answer(rgb, time.monotonic())
            if not faces:  # the server searches for itself on `image`
                return {"path": None, "sent_bytes": 0}
            face = faces[0]
            return {
                "path": face.path,
                "rate": face.rate,
                "reason": face.reason,
                "sent_bytes": face.sent_bytes,
                "together": "+" in face.answer.model,
            }

        return answer

    def _symbols(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = self._device.find(rgb)
        return self._quantiser.symbols(found.z, self._rate)

    def _full(self, rgb: NDArray[np.uint8]) -> Outcome:
        self._full_tail.run(self._symbols(rgb), self._steps)
        return {"path": "full", "sent_bytes": 0}

    def _there_and_back(self, rgb: NDArray[np.uint8]) -> Outcome:
        sent = raw.encode(self._symbols(rgb)[0])
        came = self._two_way(sent, timeout=NO_DEADLINE_MS / 1000, wait_for_ready=True)
        self._parts.finish(came)
        return {"path": "two-way", "sent_bytes": len(sent), "received_bytes": len(came)}


def main() -> int:
    """Obey orders until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", required=True)
    parser.add_argument("--two-way", required=True)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    weights = arguments.weights or default_folder()
    strategies = Strategies(weights, arguments.server, arguments.two_way)
    print(json.dumps({"faces": len(strategies.frames)}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "open":
            answer: Outcome = {"names": strategies.open(order["deadline_ms"])}
        else:
            answer = strategies.go(order["strategy"], order["face"])
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
