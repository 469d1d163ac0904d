"""Frames to answers to sinks, until the source ends or somebody says stop.

    source -> feed -> offload -> tracks -> ledger, sinks

One frame is answered at a time, so nothing piles up: a live source drops its oldest waiting frame
and counts it, a file waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.ledger import Ledger
from splitfer.edge_client.offload.offload import FrameLost
from splitfer.edge_client.sinks.sink import EventSink, Sink
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.tracking.faces import TrackedFaces
from splitfer.shared.contracts import FaceAnswer

# A file that waits looks so often whether it goes on.
_LOOK_AGAIN_S = 0.2

_log = logging.getLogger(__name__)


class Answers(Protocol):
    """What the pipeline needs of a ``Recognizer``."""

    def answer(
        self, rgb: NDArray[np.uint8], decoded_s: float, *, time_s: float | None = None
    ) -> list[FaceAnswer]:
        """The faces of RGB uint8 ``(H, W, 3)`` decoded at the monotonic instant ``decoded_s``. Of a
        video whose faces are followed, ``time_s`` is when it is shown."""
        ...

    def learn(self) -> None:
        """Learn from the last frame, once its answers are given on."""
        ...


def run(
    feed: Feed,
    recognizer: Answers,
    sinks: Sequence[Sink],
    ledger: Ledger,
    on_frame: Callable[[Frame, Sequence[FaceAnswer]], None],
    paused: Callable[[], bool] = lambda: False,
    tracks: TrackedFaces | None = None,
    turn: AbstractContextManager[None] | None = None,
) -> None:
    """Answer every frame of ``feed``. Returns when it ends or is closed. While it is ``paused``, a
    live source's frames are dropped, and a file waits. With ``tracks`` faces are followed. Where
    several feeds have one recognizer, each frame waits for its ``turn``.

    Raises:
        SourceError: the source broke for good; what was answered until then is in the ledger.
        OSError: a sink cannot be written.
    """
    for frame in feed:
        if _skipped(feed, paused):
            feed.shed()
            continue
        if turn is None:
            _one(frame, recognizer, sinks, ledger, on_frame, tracks)
            continue
        with turn:
            # Others had theirs meanwhile.
            _one(feed.newest(frame), recognizer, sinks, ledger, on_frame, tracks)


def _one(
    frame: Frame,
    recognizer: Answers,
    sinks: Sequence[Sink],
    ledger: Ledger,
    on_frame: Callable[[Frame, Sequence[FaceAnswer]], None],
    tracks: TrackedFaces | None,
) -> None:
    try:
        followed_s = frame.time_s if tracks is not None else None
        faces = recognizer.answer(frame.rgb, frame.decoded_s, time_s=followed_s)
    except FrameLost as error:
        ledger.frame_failed(error.faces)
        _log.exception("frame %d of %s is lost", frame.index, frame.source)
        return
    ledger.frame_answered(faces)
    if tracks is not None:
        faces, events = tracks.follow(frame.time_s, faces)
        for sink in sinks:
            if isinstance(sink, EventSink):
                sink.happened(frame, events)
    for sink in sinks:
        sink.write(frame, faces)
    on_frame(frame, faces)
    recognizer.learn()


def _skipped(feed: Feed, paused: Callable[[], bool]) -> bool:
    """Whether the frame goes by; a file's waits until it need not."""
    while paused():
        if feed.live or feed.closed:
            return True
        feed.wait(_LOOK_AGAIN_S)
    return False
