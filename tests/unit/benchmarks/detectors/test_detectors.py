from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.detectors import detectors
from benchmarks.detectors.detectors import (
    PHOTO_SIDES_PX,
    overlap,
    photographs,
    recall,
    table,
    without_faces,
)
from benchmarks.detectors.plot import draw
from benchmarks.detectors.scenes import Scene
from splitfer.shared.contracts import Box
from splitfer.shared.detectors import DetectorName
from splitfer.shared.errors import SourceError
from splitfer.shared.vision.detection import SearchLimits, open_detector


class Played:
    """Finds what it was told to."""

    near_px = 80

    def __init__(self, *boxes: Box) -> None:
        self.boxes = list(boxes)

    def detect(self, grey: NDArray[np.uint8], side_px: int | None = None) -> list[Box]:
        return self.boxes


def test_a_face_is_found_where_a_box_covers_enough_of_it() -> None:
    scene = Scene(np.zeros((100, 100), np.uint8), (Box(0, 0, 20, 20), Box(50, 50, 20, 20)))
    row = recall(Played(Box(3, 3, 20, 20), Box(80, 0, 20, 20)), [scene, scene])
    assert row == {"recall": 0.5, "faces": 4, "other_finds": 2}


def test_overlap_is_the_shared_part_of_both() -> None:
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10), Box(20, 0, 10, 10)) == 0


def test_pictures_without_faces_are_there() -> None:
    pictures = without_faces()
    assert len(pictures) == len(detectors.WITHOUT) + detectors.MADE
    assert all(picture.ndim == 2 and picture.dtype == np.uint8 for picture in pictures)


def test_faces_of_photographs_are_looked_for_again_smaller(
    tmp_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    Image.fromarray(astronaut).save(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("no picture")
    limits = SearchLimits(480, 1, 100)
    both = {name: open_detector(name, limits) for name in DetectorName}
    rows = photographs(both, tmp_path)
    assert [(row["side_px"], row["recall"]) for row in rows[DetectorName.DLIB]][:-1] == [
        (side, 0) for side in PHOTO_SIDES_PX[:-1]
    ]
    assert all(row["recall"] == 1 for row in rows[DetectorName.YUNET] if row["side_px"] >= 24)
    with pytest.raises(SourceError, match="no \\.jpg or"):
        photographs(both, tmp_path / "nothing")


def row(value: int, key: str) -> dict[str, float]:
    return {key: value, "recall": 0.5, "faces": 2, "other_finds": 0}


RESULT = {
    "frame": "480x360",
    "usage": "PublicTest",
    "faces": 2,
    "turned_side_px": 100,
    "machine": {},
    "detectors": {
        name: {
            "by_side_px": [row(24, "side_px")],
            "by_yaw_deg": [row(30, "yaw_deg")],
            "by_roll_deg": [row(90, "roll_deg")],
            "search_ms": 3.0,
            "photos_by_side_px": [row(24, "side_px")],
            "false_finds": {"skimage": 1, "of_skimage": 16, "made": 0, "of_made": 200},
        }
        for name in ("dlib", "yunet")
    },
}


def test_the_figure_is_written(tmp_path: Path) -> None:
    draw(RESULT, tmp_path / "detectors.png")
    assert (tmp_path / "detectors.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_names_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "machine_line", lambda machine: "here")
    text = table(RESULT)
    assert "yunet: 3.0 ms; found where nobody is: 1 in 16 pictures, 0 in 200 made ones" in text
    assert "in photographs, 24 px: 50% of 2" in text


def test_without_data_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SPLITFER_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["detectors", "--json"])
    assert detectors.main() == 3
    assert "no data set" in capsys.readouterr().err
    json.dumps(RESULT)
