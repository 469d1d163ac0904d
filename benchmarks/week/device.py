"""A device by played time: the parts of ``edge-client run``, and faces answered before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.week.camera import PlayedCamera
from benchmarks.week.played_time import PlayedTime
from splitfer.edge_client import pipeline
from splitfer.edge_client.appliance.appliance import Appliance
from splitfer.edge_client.appliance.books import Books
from splitfer.edge_client.appliance.course import Course
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.recognizer import Recognizer
from splitfer.edge_client.sinks.heartbeat import AnswersAndHeartbeats
from splitfer.edge_client.sinks.outputs import Outputs
from splitfer.edge_client.sinks.records import Origin
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import TrackedFaces
from splitfer.shared.contracts import FaceAnswer

SCENES = 8
REAL_EVERY = 500
"""Search, head and local tail run on one frame in so many; the others get the answers of before."""

# Frames are seconds apart here: a face that misses two has left.
LOST_S, SMOOTH_S = 25.0, 60.0


def scenes() -> list[NDArray[np.uint8]]:
    """Frames of the bundled clip, every other time a room with nobody in it."""
    found: list[NDArray[np.uint8]] = []
    with (
        as_file(files("splitfer.edge_client.assets") / "demo.mp4") as clip,
        av.open(str(clip)) as container,
    ):
        for index, picture in enumerate(container.decode(video=0)):
            if index % 20 == 10 and len(found) < SCENES:
                found.append(np.asarray(picture.to_ndarray(format="rgb24"), np.uint8))
    nobody = np.full_like(found[0], 90)
    return [one for picture in found for one in (picture, nobody)]


class SparseRecognizer:
    """``Recognizer``, which really looks at one picture in ``REAL_EVERY`` and knows the rest."""

    def __init__(self, recognizer: Recognizer, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._recognizer = recognizer
        self._known = [recognizer.answer(rgb, 0.0) for rgb in pictures]
        self._count = 0
        self.looked_at = 0

    def answer(self, rgb: NDArray[np.uint8], decoded_s: float, **more: Any) -> list[FaceAnswer]:
        """The faces of one frame."""
        scene = int(rgb[0, 0, 2])
        self._count += 1
        if self._count % REAL_EVERY == 0:
            self.looked_at += 1
            self._known[scene] = self._recognizer.answer(rgb, decoded_s, **more)
        return self._known[scene]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recognizer, name)


class Device:
    """Runs until it is told to stop; ``appliance`` and ``course`` are those of the moment.

    ``config`` gives the settings to begin with and, when they are read again, those from then on;
    it may raise. ``each`` is called as time passes.
    """

    def __init__(
        self,
        folder: Path,
        config: Callable[[], EdgeConfig],
        frame_s: float,
        each: Callable[[], None],
    ) -> None:
        self.time = PlayedTime()
        pictures = scenes()
        self.camera = PlayedCamera(self.time, pictures, frame_s, each)
        self.books = Books()
        self.course = Course(config)
        self.lines = folder / "answers.jsonl"
        self.output_failures = 0
        self.reopened = 0
        self.appliance: Appliance
        self.outputs: Outputs
        self.begun = 0
        self.outboxes: list[dict[str, Any]] = []
        self._config = config
        self._pictures = pictures

    def run(self) -> None:
        """From the first frame to the last."""
        config = self._config()
        with Recognizer.from_config(config) as real, self.course:
            known = SparseRecognizer(real, self._pictures)
            recognizer: Any = known
            settings: EdgeConfig | None = config
            while settings is not None:
                settings = self._go(settings, recognizer)
        self.looked_at = known.looked_at

    def _go(self, config: EdgeConfig, recognizer: Any) -> EdgeConfig | None:
        time, books = self.time, self.books
        lines = AnswersAndHeartbeats(
            str(self.lines),
            "camera",
            config.heartbeat_s,
            config.output_max_mb,
            Origin("week", config.source_name),
            time.monotonic,
        )
        outputs = self.outputs = Outputs({"output": lines}, lines.idle)
        with ExitStack() as stack:
            source = stack.enter_context(self.camera.opened())
            self.appliance = stack.enter_context(
                Appliance(
                    config,
                    source,
                    recognizer,
                    outputs,
                    config.purpose,
                    [str(self.lines)],
                    clocks=time.clocks,
                )
            )
            feed = stack.enter_context(Feed(source, True, time.monotonic, idle=outputs.idle))
            books.watched(feed)
            self.appliance.watch(books)
            self.course.begin(feed, self.appliance.settings_refused)
            self.begun += 1
            tracks = TrackedFaces(SMOOTH_S, LOST_S)
            with closing(outputs):
                pipeline.run(
                    feed, recognizer, [outputs], books.ledger, self._answered, self._paused, tracks
                )
            settings = self.course.turn()
            feed.close()
            self.appliance.close(goes_on=settings is not None)
            self.outboxes.append(self.appliance.report()["outbox"])
            books.closed(0)
            self.output_failures += sum(outputs.failures.values())
            self.reopened += source.reopened
        return settings

    def _answered(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        self.camera.taken()

    def _paused(self) -> bool:
        paused = self.appliance.paused()
        if paused:
            self.camera.taken()
        return paused
