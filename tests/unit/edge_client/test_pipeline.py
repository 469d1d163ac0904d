from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from splitfer.edge_client import pipeline
from splitfer.edge_client.ledger import Ledger
from splitfer.edge_client.offload.offload import FrameLost
from splitfer.edge_client.settings.turns import Turns
from splitfer.edge_client.sources.base import Source
from splitfer.edge_client.sources.feed import Feed
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from tests.unit.edge_client.answers import face, frame


class Film(Source):
    def __init__(self, frames: int, live: bool) -> None:
        super().__init__("film", live=live, self_paced=live)
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        yield from map(frame, range(self._frames))


class Answering:
    """Every third frame is lost, with two faces."""

    def __init__(self) -> None:
        self.count = 0

    def answer(
        self, rgb: np.ndarray[Any, Any], decoded_s: float, *, time_s: float | None = None
    ) -> Sequence[FaceAnswer]:
        self.count += 1
        if self.count % 3 == 0:
            raise FrameLost(2)
        return [face()]

    def learn(self) -> None:
        pass


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("pauses", [(), range(4, 9), range(100)])
def test_captured_is_processed_and_dropped_whatever_is_paused(
    live: bool, pauses: Sequence[int]
) -> None:
    ledger, asked = Ledger(), [0]
    with Feed(Film(30, live), live, wait=lambda event, seconds: event.is_set()) as feed:

        def paused() -> bool:
            asked[0] += 1
            return asked[0] in pauses

        pipeline.run(feed, Answering(), [], ledger, lambda *_: None, paused)  # type: ignore[arg-type]
    assert feed.captured == 30
    assert ledger.balanced(feed.captured, feed.dropped)
    if not live:
        assert feed.dropped == 0
        assert ledger.frames == 30


def test_a_paused_file_ends_when_it_is_closed() -> None:
    feed = Feed(Film(30, False), False, wait=lambda event, seconds: feed.close() or True)  # type: ignore[func-returns-value]
    ledger = Ledger()
    pipeline.run(feed, Answering(), [], ledger, lambda *_: None, lambda: True)  # type: ignore[arg-type]
    assert (feed.captured, feed.dropped, ledger.frames) == (1, 1, 0)


def test_several_feeds_have_their_turns_and_each_its_books() -> None:
    turns, feeds, ledgers = Turns(), [], []
    answering = Answering()

    def one(feed: Feed, ledger: Ledger) -> None:
        pipeline.run(
            feed,
            answering,
            [],
            ledger,
            lambda *_: None,
            turn=turns,  # type: ignore[arg-type]
        )

    for live in (True, False, True):
        feeds.append(Feed(Film(60, live), live))
        ledgers.append(Ledger())
    threads = [threading.Thread(target=one, args=pair) for pair in zip(feeds, ledgers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [feed.captured for feed in feeds] == [60] * 3
    assert [
        ledger.balanced(feed.captured, feed.dropped)
        for feed, ledger in zip(feeds, ledgers, strict=True)
    ] == [True] * 3
    assert feeds[1].dropped == 0
    assert answering.count == sum(ledger.frames for ledger in ledgers)
