from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from training.export import local_int8
from training.export.local_int8 import NAME, add_int8


@pytest.fixture
def folder(weights_folder: Path, tmp_path: Path) -> Path:
    """Weights of the test's own, to be changed."""
    return Path(shutil.copytree(weights_folder, tmp_path / "some weights"))


def test_it_becomes_a_local_model_that_answers_about_the_same(folder: Path) -> None:
    before = Weights(folder)
    head = (folder / before.manifest.head.file).read_bytes()
    pictures = np.repeat(before.golden.crops[:, ::4, ::4], 8, axis=0)
    for _ in range(2):  # made again, it takes its own place
        add_int8(folder, pictures)
    weights = Weights(folder)
    assert weights.manifest.local_models[NAME] == NAME
    assert (folder / before.manifest.head.file).read_bytes() == head
    tail = weights.tail(NAME, 1)  # held to golden logits of its own
    assert tail.takes_crops
    for label_set, logits in tail.all_logits(weights.golden.crops[:, None]).items():
        wanted = weights.golden.logits[LOCAL_TAIL][label_set]
        assert np.abs(logits - wanted).max() < 0.25 * np.ptp(wanted)


def test_without_data_or_weights_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--weights", str(tmp_path), "--data", "nowhere"])
    assert local_int8.main() == 3
    assert "no data set at nowhere" in capsys.readouterr().err
