from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.accuracy.cascade_clips import (
    FRAMES,
    SCENE_PX,
    Clip,
    difference_of,
    frames,
    play,
    table,
)
from splitfer.shared.contracts import Box

PICTURE = np.tile(np.arange(48, dtype=np.uint8) * 5, (48, 1))


def rows(confidence: float, place: int) -> NDArray[np.float32]:
    row = np.full(7, (1 - confidence) / 6, np.float32)
    row[place] = confidence
    return np.tile(row, (FRAMES, 1))


def clip(local: NDArray[np.float32], cloud: NDArray[np.float32], label: int) -> Clip:
    return Clip([Box(100, 100, 90, 90)] * FRAMES, local, cloud, label)


def test_a_clip_moves_and_is_the_same_each_time() -> None:
    shown, again = list(frames(PICTURE, 3)), list(frames(PICTURE, 3))
    assert len(shown) == FRAMES
    for (grey, box), (other, other_box) in zip(shown, again, strict=True):
        assert grey.shape == (SCENE_PX, SCENE_PX)
        assert np.array_equal(grey, other)
        assert box == other_box
    assert len({box.x for _, box in shown}) > FRAMES // 2


def test_all_none_and_some_are_sent() -> None:
    unsure = clip(rows(0.5, 2), rows(0.9, 4), label=4)
    everything = play([unsure], 1.01, 0.0, together=True)
    assert everything.sent.all()
    assert everything.right.all()  # the server is surer, and the mean is with it
    nothing = play([unsure], 0.0, 0.0, together=True)
    assert not nothing.sent.any()
    assert not nothing.right.any()
    some = play([unsure], 0.8, 1.0, together=True)
    assert 3 <= some.sent.sum() <= 7
    assert some.right.mean() > 0.8  # the device's first answer is not forgotten at once


def test_a_label_that_no_answer_has_is_never_right() -> None:
    assert not play(
        [clip(rows(0.9, 0), rows(0.9, 0), label=7)], 0.8, 1.0, together=True
    ).right.any()


def test_a_difference_has_an_interval_by_clip() -> None:
    found = difference_of(np.array([0.0, 0.1, -0.1, 0.2] * 25))
    assert found["difference"] == pytest.approx(0.05)
    low, high = found["interval_95"]
    assert 0.02 < low < 0.05 < high < 0.08


def test_the_table_has_a_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.accuracy.cascade_clips.machine_line", lambda machine: "here")
    row = {
        "threshold": 0.8,
        "again_s": 1.0,
        "sent": 0.06,
        "accuracy": 0.87,
        "less_than_all_sent": {"difference": -0.001, "interval_95": [-0.01, 0.008]},
    }
    text = table({
        "clips": 2, "frames": 30, "labels": "crowd", "fingerprint": "f", "tail": "cloud",
        "all_sent": 0.87, "none_sent": 0.86, "rows": [row], "machine": {},
    })  # fmt: skip
    assert "0.80       1.0    6.0%    87.00%   -0.10 points (-1.00 to +0.80)" in text
