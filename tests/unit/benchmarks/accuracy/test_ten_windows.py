from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.accuracy import accuracy
from benchmarks.accuracy.paths import crops_of
from benchmarks.accuracy.ten_windows import answers
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import softmax
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training.data.ten_windows import PLACES, ten_windows
from training.export.local_model import add_local_model
from training.models.crop_classifier import SIZE_PX, reduction
from training.models.edgecnn import EdgeCNN

FACES = made_faces(12, seed=6)


@pytest.fixture(scope="module")
def folder(crowd_weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ten") / crowd_weights_folder.name
    shutil.copytree(crowd_weights_folder, made)
    torch.manual_seed(0)
    add_local_model(made, "edgecnn", EdgeCNN(2).eval(), "nothing")
    return made


def test_a_network_of_44_px_sees_every_window_of_the_picture_and_its_mirror_image() -> None:
    views = ten_windows(FACES.pictures)
    reduce = reduction(SIZE_PX).numpy()
    assert len(views) == 10
    for place, (top, left) in enumerate(PLACES):
        window = FACES.pictures[:, top : top + SIZE_PX, left : left + SIZE_PX].astype(np.float32)
        for view, wanted in ((views[2 * place], window), (views[2 * place + 1], window[..., ::-1])):
            seen = reduce @ crops_of(view).astype(np.float32) @ reduce.T
            # Both roundings to a byte lie between them.
            assert np.abs(seen - wanted).mean() < 1
    assert sorted(PLACES) == [(0, 0), (0, 4), (2, 2), (4, 0), (4, 4)]


def test_the_first_view_is_the_picture_itself() -> None:
    np.testing.assert_array_equal(ten_windows(FACES.pictures)[0], FACES.pictures)


def test_single_is_what_a_user_gets_and_ten_the_mean_of_such_answers(folder: Path) -> None:
    weights = Weights(folder)
    found = answers(weights, FACES.pictures, 1)
    assert set(found) == {"backbone", "edgecnn"}
    tail, one = weights.tail("edgecnn", 1), LabelSet.CROWD
    by_view = []
    for view in ten_windows(FACES.pictures):
        logits = tail.all_logits(crops_of(view)[:, None])[one]
        by_view.append(softmax(logits / np.float32(weights.temperature("edgecnn", 0, one))))
    said = found["edgecnn"]
    np.testing.assert_allclose(said["single"][one], by_view[0], atol=1e-5)
    np.testing.assert_allclose(said["mirrored"][one], np.mean(by_view[:2], axis=0), atol=1e-5)
    np.testing.assert_allclose(said["ten"][one], np.mean(by_view, axis=0), atol=1e-5)


def test_the_command_reports_ten_windows_next_to_the_single_view(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, votes = tmp_path / "fer2013.zip", tmp_path / "votes.csv"
    write_zip(data, members({"PublicTest": FACES}))
    write_votes(votes, {"PublicTest": FACES})
    line = ["accuracy", "--ten-windows", "--data", str(data), "--votes", str(votes),
            "--weights", str(folder), "--threads", "1"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [*line, "--json"])
    assert accuracy.main() == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("backbone", "edgecnn"):
        by_label_set = found["ten_windows"][name]
        assert by_label_set["fer2013"]["n"] == 12
        # By FER+'s protocol: no face and no agreement are left out.
        assert by_label_set["crowd"]["n"] < 12
        for row in by_label_set.values():
            for key in ("mirrored", "ten"):
                gain = row[key] - row["single"]
                assert row["difference"][key]["difference"] == pytest.approx(gain, abs=2e-6)
    monkeypatch.setattr(sys, "argv", line)
    assert accuracy.main() == 0
    text = capsys.readouterr().out
    assert "ten less single" in text
    assert "edgecnn" in text
