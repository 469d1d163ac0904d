"""Tails in half precision: half the bytes, the same answers, and the folder still proves itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.weights import Weights
from training.export import half


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
