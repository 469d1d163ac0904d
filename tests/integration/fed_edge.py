"""An edge that gets its pictures one by one, when the test says so, and ends after the last."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.config import load_config
from splitfer.edge_client.device import Device, FoundFaces
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.vision.picture import decode_picture, encode_jpeg
from splitfer.shared.weights import Weights
from tests.loaded import PIPED_EDGE
from tests.processes import Edge, wait_until

SEARCH_SIDE_PX = 320
# A record has four decimals; two processors may differ a little more.
TOLERANCE = 3e-4


@dataclass(frozen=True)
class Picture:
    """A JPEG, and by fingerprint and path the probabilities ``(faces, 7)`` found without a link,
    the largest face first."""

    data: bytes
    right: dict[tuple[str, str], NDArray[np.float32]]


def demo_pictures(count: int, *folders: Path) -> list[Picture]:
    """Frames of the demo clip with faces, answered offline by the weights in ``folders``."""
    with open_source("demo") as clip:
        frames = [encode_jpeg(frame.rgb, 90) for frame in clip if frame.index % 8 == 0]
    pictures = [Picture(data, {}) for data in frames]
    for folder in folders:
        weights = Weights(folder)
        settings = {"weights": folder, "search_side_px": SEARCH_SIDE_PX}
        device, tail = Device(load_config(None, settings)), weights.tail("cloud", 1)
        rate = weights.rate_index("")
        temperature = np.float32([weights.temperature("cloud", rate)])
        for picture in pictures:
            found = device.find(decode_picture(picture.data, 10**6))
            if not isinstance(found, FoundFaces):
                continue
            local = [one.probabilities for one in device.local_answers(found.tail_input)[0]]
            symbols, steps = weights.quantiser.symbols(found.z, rate), weights.quantiser.steps(rate)
            cloud = tail.run(symbols, steps, temperature.repeat(len(symbols)))
            name = weights.manifest.fingerprint
            picture.right.update({(name, "local"): np.float32(local), (name, "cloud"): cloud})
    return [picture for picture in pictures if picture.right][:count]


class FedEdge(Edge):
    """An ``edge-client run`` over a folder of named pipes, one a picture."""

    module = PIPED_EDGE

    def __init__(
        self,
        folder: Path,
        weights: Path,
        server: str,
        pictures: list[Picture],
        total: int,
        variables: Mapping[str, str],
    ) -> None:
        folder.mkdir()
        self._pipes = [folder / "pictures" / f"{place:04}.jpg" for place in range(total)]
        self._pipes[0].parent.mkdir()
        for pipe in self._pipes:
            os.mkfifo(pipe)
        self._pictures, self.fed, self.fingerprint = pictures, 0, weights.name
        settings = {"SPLITFER_EDGE_SEARCH_SIDE_PX": str(SEARCH_SIDE_PX), **variables}
        super().__init__(
            folder,
            weights,
            "--server",
            server,
            "--policy",
            "cloud",
            "--deadline-ms",
            "20000",
            source=str(self._pipes[0].parent),
            variables=settings,
        )

    def _picture(self, frame: int) -> Picture:
        return self._pictures[frame % len(self._pictures)]

    def feed(self) -> list[dict[str, Any]]:
        """Hand over the next picture and wait for its answers."""
        frame = self.fed
        assert frame < len(self._pipes), "the choreography took more pictures than there are"
        pipe: int = wait_until(lambda: self._opened(self._pipes[frame]), "the edge to read on")
        os.set_blocking(pipe, True)
        with os.fdopen(pipe, "wb") as file:
            file.write(self._picture(frame).data)
        self.fed += 1
        faces = len(next(iter(self._picture(frame).right.values())))

        def answered() -> list[dict[str, Any]] | None:
            answers = [one for one in self.answers() if one["frame"] == frame]
            return answers if len(answers) == faces else None

        answers: list[dict[str, Any]] = wait_until(answered, f"the faces of picture {frame}")
        return answers

    def _opened(self, pipe: Path) -> int | None:
        assert self._process.poll() is None, self.log()
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            return None

    def feed_until(self, path: str, reason: str | None) -> None:
        """Pictures until all faces of one were answered by ``path`` for ``reason``."""
        # The link looks for its server every 2 s at the latest.
        pace = threading.Event()
        while {(one["path"], one["reason"]) for one in self.feed()} != {(path, reason)}:
            pace.wait(0.2)

    def feed_some(self, path: str, reasons: set[str | None], count: int = 3) -> None:
        """Pictures that are all answered by ``path``, for one of ``reasons``."""
        for _ in range(count):
            for one in self.feed():
                assert one["path"] == path, one
                assert one["reason"] in reasons, one

    def end(self) -> None:
        """Feed what is left; then every face has one answer, the right one, and the books agree."""
        while self.fed < len(self._pipes):
            self.feed()
        code, summary = self.finish()
        assert code == 0, self.log()
        answers = self.answers()
        assert summary["failed"] == 0
        assert len(answers) == summary["faces"] == summary["answered"]
        assert max(Counter((one["frame"], one["face"]) for one in answers).values()) == 1
        for one in answers:
            assert one["model"] == f"{self.fingerprint}/{one['path']}", one
            right = self._picture(one["frame"]).right[self.fingerprint, one["path"]][one["face"]]
            given = np.float32(list(one["probabilities"].values()))
            np.testing.assert_allclose(given, right, atol=TOLERANCE, err_msg=str(one))
