from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.unit.training.faces import members, write_zip
from training.data import duplicates
from training.data.datasets import Faces
from training.data.duplicates import (
    blank,
    copied,
    find_pairs,
    table,
    training_to_drop,
    without_copies,
)


def smooth(n: int, seed: int) -> NDArray[np.uint8]:
    """Pictures with large shapes, as photographs have."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8)
    large = [
        np.asarray(Image.fromarray(p).resize((48, 48), Image.Resampling.BICUBIC)) for p in coarse
    ]
    return np.stack(large)


def faces(pictures: NDArray[np.uint8], labels: list[int], first_id: int = 0) -> Faces:
    return Faces(pictures, np.array(labels), np.arange(first_id, first_id + len(labels)))


PICTURES = smooth(12, seed=1)
DIMMER = (PICTURES[4] * 0.6 + 30).astype(np.uint8)


def test_copies_are_found_and_others_are_not() -> None:
    stack = np.stack((*PICTURES, PICTURES[2], DIMMER, PICTURES[7][:, ::-1]))
    pairs = find_pairs(stack)
    found = {
        (int(i), int(j)): (bool(m), bool(e))
        for i, j, m, e in zip(pairs.first, pairs.second, pairs.mirrored, pairs.exact, strict=True)
    }
    assert found == {(2, 12): (False, True), (4, 13): (False, False), (7, 14): (True, True)}


def test_blank_pictures_are_copies_of_nothing() -> None:
    black = np.zeros((3, 48, 48), np.uint8)
    grey = np.full((1, 48, 48), 90, np.uint8)
    assert blank(np.concatenate((black, grey, PICTURES))).tolist() == [True] * 4 + [False] * 12
    assert len(find_pairs(black)) == 0


def test_a_test_face_with_a_copy_in_training() -> None:
    test = np.stack((smooth(1, seed=2)[0], DIMMER))
    assert copied(test, PICTURES).tolist() == [False, True]
    assert not copied(test[:0], PICTURES).any()


def test_what_to_drop_from_training() -> None:
    black = np.zeros((48, 48), np.uint8)
    # 0, 12 and 13 show one photograph, and most of them are labelled 5; 3 is in the test.
    stack = np.stack((*PICTURES, PICTURES[0], PICTURES[0], black))
    labels = [1, *[0] * 11, 5, 5, 0]
    training = faces(stack, labels, first_id=100)
    test = faces(PICTURES[3:4], [0])
    assert training_to_drop(training, [test]).tolist() == [100, 103, 113, 114]


def test_training_without_copies_of_what_is_measured() -> None:
    training = faces(np.stack((*PICTURES, PICTURES[2], np.zeros((48, 48), np.uint8))), [0] * 14)
    held_out = faces(np.stack((DIMMER, np.zeros((48, 48), np.uint8))), [0, 0])
    test = faces(np.stack((smooth(1, seed=2)[0], PICTURES[7][:, ::-1])), [0, 0])
    kept = without_copies(training, held_out, test)
    assert np.flatnonzero(~kept).tolist() == [4, 7]
    assert len(training.subset(kept)) == 12
    assert without_copies(training).all()
    nobody = test.subset(np.zeros(2, np.bool_))
    assert without_copies(training, nobody).all()
    assert without_copies(nobody, training).tolist() == []


def test_the_command_counts_by_split_and_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = faces(np.stack((*PICTURES, PICTURES[2])), [0] * 12 + [1])
    test = faces(np.stack((PICTURES[5], PICTURES[6])), [0, 3], first_id=50)
    write_zip(tmp_path / "data.zip", members({"Training": training, "PublicTest": test}))
    monkeypatch.setattr(sys, "argv", ["duplicates", "--data", str(tmp_path / "data.zip"), "--json"])
    assert duplicates.main() == 0
    result = json.loads(capsys.readouterr().out)
    within, across = result["pairs"]["Training, Training"], result["pairs"]["Training, PublicTest"]
    assert (within["pairs"], within["exact"], within["labels_differ"]) == (1, 1, 1)
    assert (across["pairs"], across["labels_differ_share"]) == (2, 0.5)
    assert result["training_to_drop"] == 3
    assert "Training, PublicTest" in table(result)


def test_no_data_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["duplicates", "--data", "none.zip"])
    assert duplicates.main() == 3
    assert capsys.readouterr().err.startswith("duplicates: no data set")
