from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.outgoing import Outgoing
from splitfer.edge_client.sinks.records import Origin
from splitfer.edge_client.tracking.faces import FaceEvent, Happening
from tests.unit.edge_client.answers import face, frame
from tests.unit.edge_client.sinks.test_heartbeat import Clock


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "o.db", ["webhook"])) as outbox:
        yield outbox


def records(outbox: Outbox) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in outbox.waiting("webhook", 100)]


def test_of_faces_that_are_followed_events_are_all(outbox: Outbox) -> None:
    outgoing = Outgoing(outbox, Origin("hall"))
    outgoing.happened(frame(3), [FaceEvent(Happening.APPEARED, 1, "happy")])
    for index in range(3, 6):
        outgoing.write(frame(index), [replace(face(), track=1)])
    outgoing.happened(frame(9), [FaceEvent(Happening.LEFT, 1), FaceEvent(Happening.NOBODY)])
    told = records(outbox)
    assert [one["event"] for one in told] == ["appeared", "left", "nobody"]
    assert (told[0]["track"], told[0]["label"], told[0]["device_id"]) == (1, "happy", "hall")


def test_without_numbers_a_change_of_labels_is_told_once_a_second_at_most(outbox: Outbox) -> None:
    clock = Clock()
    outgoing = Outgoing(outbox, Origin(), clock=clock)
    for index, faces in enumerate([0, 0, 1, 1, 2, 1, 0, 0]):
        outgoing.write(frame(index), [face()] * faces)
        clock.now_s += 0.6
    told = [(one["record"], one["frame"]) for one in records(outbox)]
    assert told == [("heartbeat", 0), ("face", 2), ("face", 4), ("face", 4), ("heartbeat", 6)]


def test_all_is_every_answer(outbox: Outbox) -> None:
    outgoing = Outgoing(outbox, Origin(), changes_only=False)
    for index in range(4):
        outgoing.write(frame(index), [face()] * 2)
    assert [(one["frame"], one["face"]) for one in records(outbox)] == [
        (index, number) for index in range(4) for number in range(2)
    ]
