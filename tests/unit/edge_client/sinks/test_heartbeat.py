from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.sinks.heartbeat import AnswersAndHeartbeats
from splitfer.edge_client.sinks.records import Origin, rfc3339
from splitfer.shared.contracts import RECORD_VERSION
from tests.unit.edge_client.answers import face, frame

EVERY_S = 60.0


class Clock:
    now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., AnswersAndHeartbeats]]:
    """Opens the file with a heartbeat each ``EVERY_S``."""
    with ExitStack() as stack:

        def opened(clock: Clock | None = None, **options: Any) -> AnswersAndHeartbeats:
            lines = AnswersAndHeartbeats(
                str(path), "door", EVERY_S, clock=clock or Clock(), **options
            )
            return stack.enter_context(closing(lines))

        yield opened


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nobody_there_camera_away_and_hung_differ(
    path: Path, opened: Callable[..., AnswersAndHeartbeats]
) -> None:
    clock = Clock()
    lines = opened(clock)
    for index in range(3):
        clock.now_s += 25
        lines.write(frame(index), [])
    clock.now_s += 59
    lines.idle()
    clock.now_s += 2
    lines.idle()
    lines.idle()
    nobody, away = records(path)
    assert (nobody["state"], nobody["frames"], nobody["frame"]) == ("no_face", 3, 2)
    assert (away["state"], away["frames"], away["frame"]) == ("no_picture", 0, 2)
    assert nobody["last_picture"] == away["last_picture"]
    assert nobody["source"] == away["source"] == "door"


def test_a_camera_that_never_came_has_its_heartbeat(
    path: Path, opened: Callable[..., AnswersAndHeartbeats]
) -> None:
    clock = Clock()
    lines = opened(clock)
    clock.now_s += EVERY_S
    lines.idle()
    (record,) = records(path)
    assert (record["state"], record["frame"], record["last_picture"]) == ("no_picture", None, None)


def test_answers_are_signs_of_life_themselves(
    path: Path, opened: Callable[..., AnswersAndHeartbeats]
) -> None:
    clock = Clock()
    lines = opened(clock)
    for index in range(4):
        clock.now_s += 50
        lines.write(frame(index), [face()])
    assert [record["record"] for record in records(path)] == ["face"] * 4


def test_a_record_says_when_and_by_whom(
    path: Path, opened: Callable[..., AnswersAndHeartbeats]
) -> None:
    origin = Origin("hall-7", "front door")
    lines = opened(origin=origin)
    one = frame(0)
    lines.write(one, [face()])
    (record,) = records(path)
    assert (record["device_id"], record["source_name"]) == ("hall-7", "front door")
    assert record["schema_version"] == RECORD_VERSION == 5
    assert record["time"] == rfc3339(one.wall_s)


def test_wall_clock_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_769_860_800.1234) == "2026-01-31T12:00:00.123Z"


def test_a_box_counts_in_the_pixels_of_the_picture_that_was_reduced(
    path: Path, opened: Callable[..., AnswersAndHeartbeats]
) -> None:
    lines = opened()
    lines.write(replace(frame(0), reduced_by=2.5), [face(box=(10, 20, 40, 44))])
    (record,) = records(path)
    assert record["box"] == [25, 50, 100, 110]
