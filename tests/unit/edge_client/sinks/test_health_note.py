"""What a run says of itself to who knows its process number."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitfer.edge_client.commands import health
from splitfer.edge_client.commands.health import run_works
from splitfer.edge_client.sinks.health_note import HealthNote, read_note
from splitfer.edge_client.sinks.run_status import NO_PICTURE_S, Health, RunStatus
from splitfer.shared.errors import SourceError
from tests.unit.edge_client.answers import frame

SELF = Path("/proc/self")


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def status(time: Time) -> RunStatus:
    return RunStatus(time)


@pytest.fixture
def note(status: RunStatus, time: Time) -> Iterator[HealthNote]:
    made = HealthNote(status, time)
    yield made
    made.close()


def test_a_camera_that_is_away_is_waited_for_and_that_is_healthy(
    note: HealthNote, status: RunStatus, time: Time
) -> None:
    status.source_fault = lambda: "door: connection refused"
    for _ in range(3):
        time.now_s += NO_PICTURE_S
        note.idle()
        found = read_note(SELF)
        assert found is not None
        assert (found.health, found.words) == (Health.WAITING, "door: connection refused")
        assert found.at_s == time.now_s
        assert found.health.serves
    status.source_fault = lambda: None
    time.now_s += 1
    status.write(frame(0), ())
    note.write(frame(0), ())
    assert read_note(SELF).health is Health.OK  # type: ignore[union-attr]


def test_a_run_that_gets_no_picture_and_knows_not_why_is_not_healthy(
    note: HealthNote, time: Time
) -> None:
    time.now_s += NO_PICTURE_S + 1
    note.idle()
    found = read_note(SELF)
    assert found is not None
    assert found.health is Health.NO_PICTURE
    assert not found.health.serves


def test_what_is_closed_says_nothing(status: RunStatus) -> None:
    note = HealthNote(status)
    note.close()
    note.close()
    note.idle()
    assert read_note(SELF) is None


@pytest.mark.parametrize("waits", [True, False])
def test_the_command_says_what_the_run_does(waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_NAMES", (Path(sys.executable).name, ".py", "pytest", ""))
    status = RunStatus()
    status.source_fault = (lambda: "door: refused") if waits else (lambda: None)
    status.failing = lambda: "output: disk full"
    status.write(frame(0), ())
    if waits:
        status = RunStatus()
        status.source_fault = lambda: "door: refused"
    note, over = HealthNote(status), threading.Event()

    def live() -> None:
        while not over.wait(0.05):
            note.idle()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        if waits:
            assert run_works(os.getpid(), 20) == "waiting for the camera: door: refused"
        else:
            with pytest.raises(SourceError, match="an output cannot be written: output: disk full"):
                run_works(os.getpid(), 20)
    finally:
        over.set()
        thread.join()
        note.close()
