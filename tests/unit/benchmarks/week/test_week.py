"""The simulated week: its judgement here, a day of it in ``test_a_day.py``."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.week.camera import PlayedCamera
from benchmarks.week.played_time import PlayedTime
from benchmarks.week.week import MOST_GROWTH_MB, _growth
from splitfer.shared.errors import SourceError

PICTURE = np.zeros((2, 2, 3), np.uint8)


@given(st.floats(0.2, 5), st.integers(2, 7), st.floats(0, 3))
def test_a_leak_is_seen_and_noise_is_not(
    leak_mb_per_hour: float, days: int, noise_mb: float
) -> None:
    hours = range(24 * days)
    noise = [noise_mb * (hour % 3) / 2 for hour in hours]
    leaking = [100 + leak_mb_per_hour * hour + noise[hour] for hour in hours]
    assert _growth(leaking) >= leak_mb_per_hour * 24 * (days - 1) / 2
    filled_once = [80 + min(hour, 6) * 3 + noise[hour] for hour in hours]
    assert abs(_growth(filled_once)) <= noise_mb < MOST_GROWTH_MB


def test_time_passes_as_fast_as_frames_are_taken() -> None:
    time = PlayedTime()
    camera = PlayedCamera(time, [PICTURE], 5.0, lambda: None)
    seen = []
    for frame in camera.opened():
        seen.append(time.now_s)
        if len(seen) == 4:
            break
        assert frame.time_s <= time.now_s
        camera.taken()
    assert seen == [5.0, 10.0, 15.0, 20.0]


def test_unplugged_it_is_asked_again_until_it_is_back() -> None:
    time = PlayedTime()
    camera = PlayedCamera(time, [PICTURE], 5.0, lambda: None)

    def each() -> None:
        camera.away = 20 <= time.now_s < 600

    camera.each = each
    source = camera.opened()
    times = []
    for _ in source:
        times.append(time.now_s)
        camera.taken()
        if time.now_s > 700:
            break
    assert not [one for one in times if 20 <= one < 600]
    assert source.reopened == 1
    camera.away = True
    with pytest.raises(SourceError, match="unplugged"):
        camera.check()


def test_frozen_it_gives_nothing_and_hurried_it_waits_for_nobody() -> None:
    time = PlayedTime()
    camera = PlayedCamera(time, [PICTURE], 5.0, lambda: None, hurried=True)
    stop = threading.Event()
    frames = camera.frames(stop)
    for _ in range(10):
        next(frames)  # none was taken
    camera.each = lambda: setattr(camera, "frozen", time.now_s < 500)
    next(frames)
    assert time.now_s >= 500
