"""The Pi's own camera, by a stand-in for its package."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import tests.stand_ins
from splitfer.edge_client.appliance.purpose import is_live
from splitfer.edge_client.source_name import names_a_path
from splitfer.edge_client.sources import bounded_decoder, decoder
from splitfer.edge_client.sources.open import open_source
from splitfer.shared.errors import SourceError
from tests.processes import child_processes


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(tests.stand_ins.__file__).parent))


@pytest.mark.usefixtures("stand_in")
def test_its_pictures_are_red_green_and_blue_and_their_number_is_bounded() -> None:
    before = set(child_processes())  # others' in the process that shares the tests
    with open_source("picamera:0", max_fps=10) as source:
        assert (source.live, source.self_paced, source.fps) == (True, True, 10)
        frames = [frame for frame, _ in zip(source, range(5), strict=False)]
    assert {frame.rgb.shape for frame in frames} == {(480, 640, 3)}
    assert frames[0].rgb[100, 100].tolist() == [200, 0, 0]
    assert [frame.index for frame in frames] == list(range(5))
    assert all(after.time_s - before.time_s > 0.02 for before, after in itertools.pairwise(frames))
    assert set(child_processes()) <= before


@pytest.mark.usefixtures("stand_in")
def test_one_that_is_in_use_is_told() -> None:
    with pytest.raises(SourceError, match=r"picamera:1: .*resource busy; is it plugged in"):
        open_source("picamera:1")


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("source", "words"), [("picamera:2", "no picture for"), ("picamera:3", "timed out!")]
)
def test_one_that_hangs_or_breaks_is_opened_again(
    source: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(decoder, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(bounded_decoder, "_GRACE_S", 0.5)
    with open_source(source, wait=True) as camera:
        frames = [frame for frame, _ in zip(camera, range(5), strict=False)]
        assert camera.reopened == 1
    assert [frame.index for frame in frames] == list(range(5))
    assert words in caplog.text


def test_without_its_package_that_is_told() -> None:
    with pytest.raises(SourceError, match="apt install python3-picamera2"):
        open_source("picamera:0", wait=True)


def test_it_is_a_camera_and_no_path() -> None:
    assert is_live("picamera:0")
    assert not names_a_path("picamera:0")
    assert names_a_path("picamera.mp4")
