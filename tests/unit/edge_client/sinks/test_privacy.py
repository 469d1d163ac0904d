"""Blurred faces, and counts in place of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitfer.edge_client.sinks.aggregate import Aggregate
from splitfer.edge_client.sinks.blur import CELLS, blurred
from splitfer.edge_client.sinks.records import Origin
from splitfer.edge_client.sinks.run_status import Health, Newest
from splitfer.shared.contracts import Box
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from tests.unit.edge_client.answers import face, frame
from tests.unit.edge_client.sinks.test_heartbeat import Clock


def test_a_blurred_face_is_found_no_more(astronaut: NDArray[np.uint8]) -> None:
    detector = DlibDetector(SearchLimits(480, 40, 32))
    (box, *_) = detector.detect(to_grey(astronaut[:300]))
    hidden = blurred(astronaut[:300], [box])
    assert detector.detect(to_grey(hidden)) == []
    inside = hidden[box.y : box.y + box.h, box.x : box.x + box.w].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) <= CELLS**2
    far = np.s_[: max(0, box.y - box.h), :]
    assert np.array_equal(hidden[far], astronaut[:300][far])


@given(
    st.lists(st.tuples(*[st.integers(-300, 300)] * 2, *[st.integers(-5, 400)] * 2), max_size=4),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_box_of_any_picture(boxes: list[tuple[int, int, int, int]], size: Any) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    assert blurred(picture, [Box(*box) for box in boxes]).shape == picture.shape


def test_counts_per_interval_and_nothing_else() -> None:
    clock, told = Clock(), list[dict[str, Any]]()
    totals = Aggregate(told.append, "door", 60, Origin("hall", None), clock=clock)
    for index in range(10):
        totals.write(frame(index), [face()] * (index % 3))
        clock.now_s += 7
    (record,) = told
    assert (record["record"], record["source"], record["device_id"]) == (
        "aggregate",
        "door",
        "hall",
    )
    assert (record["frames"], record["frames_without_face"], record["most_faces"]) == (9, 3, 2)
    assert record["labels"] == {"happy": 9}
    assert record["seconds"] == 63
    assert not set(record) & {"box", "confidence", "probabilities", "face", "frame"}
    clock.now_s += 60
    totals.idle()
    assert told[1]["frames"] == 1
    totals.close()
    assert len(told) == 2  # what is left is of no whole interval


def test_the_state_is_of_the_last_whole_interval() -> None:
    clock = Clock()
    totals = Aggregate(lambda _: None, "door", 60, Origin(), clock=clock)
    newest = Newest(1, frame(), (face(),), 0.0)
    assert totals.state(newest, Health.OK)["expression"] is None
    totals.write(frame(), [face(), replace(face())])
    clock.now_s += 61
    totals.write(frame(), [])
    state = totals.state(newest, Health.OK)
    assert (state["expression"], state["faces"], state["confidence"]) == ("happy", 2, None)
    assert totals.state(None, Health.NO_PICTURE)["expression"] is None
    clock.now_s += 61
    totals.idle()
    assert totals.state(newest, Health.OK)["expression"] == "no_face"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"server": "127.0.0.1:1"}, "leave the server out"),
        ({"view": True, "listen": "192.0.2.1:80"}, "loopback"),
    ],
)
def test_aggregate_refuses_what_would_tell_more(settings: dict[str, Any], words: str) -> None:
    from splitfer.edge_client.config import load_config
    from splitfer.shared.errors import ConfigError

    load_config(None, {"privacy": "aggregate", "view": True})
    with pytest.raises(ConfigError, match=words):
        load_config(None, {"privacy": "aggregate", **settings})
