"""A simulated day with every fault of it: `python -m benchmarks week`, in its short form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.week.week import MOST_GROWTH_MB
from tests.broker import needs_broker

ROOT = Path(__file__).parents[2]


@needs_broker
@pytest.mark.timeout(580)
def test_a_day_of_faults_leaves_a_device_whole() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "week",
        "--days",
        "1",
        "--frame-s",
        "8",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=560, cwd=ROOT)
    result = json.loads(done.stdout)
    assert result["problems"] == []
    assert [what for what, held in result["held"].items() if not held] == []
    assert done.returncode == 0, done.stderr
    frames, outbox = result["frames"], result["outbox"]
    assert frames["captured"] == frames["answered"] + frames["dropped"] > 8000
    assert frames["dropped"] > 100  # in the pause, and where the camera was too fast
    assert outbox["put"] == outbox["sent"] + outbox["shed"] > 100
    assert result["heard"]["answers"] >= outbox["sent"] > 100
    assert result["settings_begun"] == 2  # once anew, and not with corrupt ones
    assert result["camera_reopened"] >= 1
    assert set(result["faults"].values()) == {1}
    assert result["rss_mb"]["growth"] <= MOST_GROWTH_MB
    assert "Traceback" not in done.stderr


def test_what_cannot_be_played_is_said() -> None:
    command = [sys.executable, "-m", "benchmarks", "week", "--frame-s", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 2
    assert "--frame-s" in done.stderr
