"""A local tail in fewer bits packs smaller and answers the same; its folder still proves itself."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.shared.weights import Weights
from splitfer.shared.weights.store import LOGIT_TOLERANCE
from training.export import fewer_bits

LARGE = 2.0**100
Floats = st.floats(-LARGE, LARGE, width=32, allow_subnormal=False)


@given(st.lists(Floats, min_size=1, max_size=20))
def test_a_value_is_rounded_to_the_nearest_of_sixteen_bits(values: list[float]) -> None:
    given_values = np.array(values, np.float32)
    found = fewer_bits.rounded(given_values)
    off = np.abs(found.astype(np.float64) - given_values)
    assert (
        off <= np.abs(given_values.astype(np.float64)) * 2.0**-fewer_bits.SIGNIFICANT_BITS
    ).all()
    assert not (found.view(np.uint32) & 0xFF).any()
    assert (fewer_bits.rounded(found) == found).all()


def test_the_local_tail_packs_smaller_and_answers_the_same(
    weights_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewer_bits, "MOST_CHANGE", LOGIT_TOLERANCE)  # this network learnt nothing
    before, file = Weights(weights_copy), weights_copy / "local.onnx"
    packed = len(zlib.compress(file.read_bytes()))
    golden = (weights_copy / "golden.npz").read_bytes()
    assert fewer_bits.round_local_tail(weights_copy) <= fewer_bits.MOST_CHANGE

    after = Weights(weights_copy)
    assert len(zlib.compress(file.read_bytes())) < 0.85 * packed
    assert (weights_copy / "golden.npz").read_bytes() == golden
    assert after.manifest.fingerprint == before.manifest.fingerprint
    after.tail("local", 1)  # hashes and golden logits are checked


def test_where_a_logit_would_move_nothing_is_written(
    weights_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in weights_copy.iterdir()}
    monkeypatch.setattr(fewer_bits, "MOST_CHANGE", -1.0)
    with pytest.raises(ValueError, match="rounding moves a logit"):
        fewer_bits.round_local_tail(weights_copy)
    assert {file.name: file.read_bytes() for file in weights_copy.iterdir()} == before
