"""Tails in half precision: half the bytes, the same answers, and the folder still proves itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder
from training.export import half
from training.export.folder import largest_change, write_tails


def test_a_tail_takes_half_the_bytes_and_answers_as_before(
    weights_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "MOST_CHANGE", 0.01)  # this network learnt nothing
    before = Weights(weights_copy)
    golden = before.golden
    entry, size = before.manifest.tails["cloud"], (weights_copy / "cloud.onnx").stat().st_size
    local = (weights_copy / "local.onnx").read_bytes()
    assert half.halve(weights_copy)["cloud"] < half.MOST_CHANGE

    after = Weights(weights_copy)
    assert (weights_copy / "cloud.onnx").stat().st_size < 0.6 * size
    assert after.manifest.tails["cloud"].sha256 != entry.sha256
    assert after.manifest.fingerprint == before.manifest.fingerprint
    assert (weights_copy / "local.onnx").read_bytes() == local
    after.tail("cloud", 1)  # hashes and golden logits are checked
    after.head(1)
    for name in golden.logits:
        for label_set, logits in golden.logits[name].items():
            np.testing.assert_allclose(after.golden.logits[name][label_set], logits, atol=0.02)


def test_one_that_rounding_would_change_is_refused_and_nothing_is_written(
    weights_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in weights_copy.iterdir()}
    monkeypatch.setattr(half, "MOST_CHANGE", -1.0)
    with pytest.raises(ValueError, match="cloud: rounding moves a logit"):
        half.halve(weights_copy)
    assert {file.name: file.read_bytes() for file in weights_copy.iterdir()} == before


def test_one_that_gives_no_numbers_in_half_precision_is_refused(tmp_path: Path) -> None:
    """A parameter beyond 65,504, say: half precision has none so large."""
    folder = Path(shutil.copytree(default_folder(), tmp_path / "weights"))
    weights = Weights(folder)
    entry = weights.manifest.tails["edgecnn"]
    model = onnx.load_model_from_string((folder / entry.file).read_bytes())
    bias = next(one for one in half.widened(model).graph.initializer if one.dims == [14])
    bias.CopyFrom(numpy_helper.from_array(np.full(14, np.nan, np.float32), bias.name))
    write_tails(folder, weights.manifest, {"edgecnn": model.SerializeToString()})
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ValueError, match="edgecnn: rounding moves a logit by nan"):
        half.halve(folder, ["edgecnn"])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_one_label_set_without_numbers_is_enough() -> None:
    right, none = np.ones((2, 7), np.float32), np.full((2, 7), np.nan, np.float32)
    before = {LabelSet.CROWD: right, LabelSet.FER2013: right}
    for found in ({"crowd": right, "fer2013": none}, {"crowd": none, "fer2013": right}):
        assert np.isnan(largest_change({LabelSet(k): v for k, v in found.items()}, before))
