from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy.calibration import (
    BINS,
    draw,
    equal_mass,
    equal_width,
    expected_error,
    row,
    table,
)


def literal_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The definition, bin by bin."""
    total = 0.0
    for place in range(BINS):
        inside = (confidence > place / BINS) & (confidence <= (place + 1) / BINS)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            total += inside.mean() * gap
    return total


def test_expected_calibration_error_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.15, 1, 500).astype(np.float32)
    right = rng.random(500) < 0.6
    found = expected_error(confidence, right, equal_width(confidence))
    assert found == pytest.approx(literal_error(confidence.astype(float), right), abs=1e-6)


def test_honest_probabilities_have_little_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.2, 1, 50_000).astype(np.float32)
    honest = row(confidence, rng.random(50_000) < confidence)
    boasting = row(confidence, rng.random(50_000) < confidence - 0.2)
    assert honest["ece"] < 0.02
    assert honest["ece_adaptive"] < 0.02
    assert boasting["ece"] == pytest.approx(0.2, abs=0.02)


def test_an_answer_can_be_partly_right() -> None:
    """By the share of the votes that it has."""
    confidence = np.full(40, 0.75, np.float32)
    assert row(confidence, np.full(40, 0.75))["ece"] == 0
    found = row(confidence, np.repeat((0.5, 0.8), 20))
    assert found["ece"] == pytest.approx(0.1)
    assert found["reliability"] == [{"n": 40, "confidence": 0.75, "accuracy": 0.65}]


def test_bins_of_equal_content() -> None:
    confidence = np.random.default_rng(2).random(150).astype(np.float32)
    bins = equal_mass(confidence)
    assert (np.bincount(bins) == 10).all()
    assert confidence[bins == 0].max() <= confidence[bins == 1].min()


def test_the_surest_answers_come_first() -> None:
    confidence = np.linspace(0.3, 0.99, 100, dtype=np.float32)
    covered = row(confidence, confidence > 0.64)["coverage"]
    assert [place["coverage"] for place in covered] == sorted(
        (place["coverage"] for place in covered), reverse=True
    )
    assert covered[0]["accuracy"] == pytest.approx(0.5, abs=0.02)
    assert covered[-1]["accuracy"] == 1
    assert covered[-1]["threshold"] == pytest.approx(np.sort(confidence)[-30], abs=1e-4)


def test_table_and_picture(tmp_path: Path) -> None:
    confidence = np.linspace(0.2, 1, 300, dtype=np.float32)
    rows = {"cloud": row(confidence, confidence > 0.5)}
    assert "cloud" in table({"calibration": rows})
    draw(rows, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 800
