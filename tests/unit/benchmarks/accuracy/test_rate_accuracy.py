from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import picture_grid, rate_accuracy
from benchmarks.accuracy.float_tail import FloatTail
from benchmarks.accuracy.paths import Paths, crops_of
from benchmarks.accuracy.rate_accuracy import latent_points, table
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from tests.unit.training.faces import made_faces, members, write_zip
from training.data.votes import VOTES_VARIABLE

FACES = made_faces(12, seed=5)


@pytest.fixture(autouse=True)
def no_votes_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VOTES_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def paths(weights_folder: Path) -> Paths:
    return Paths(Weights(weights_folder), "", 1)


def test_the_float_tail_is_the_tail_without_its_quantiser(paths: Paths) -> None:
    weights = paths.weights
    z = paths.z(crops_of(FACES.pictures[:4]))
    steps = weights.quantiser.steps(0)[:, None, None]
    symbols = weights.quantiser.symbols(z, 0)
    whole = (symbols.astype(np.float32) - 128) * steps
    quantised = weights.tail(paths.tail, 1).logits(symbols, weights.quantiser.steps(0))
    alike = FloatTail(weights, paths.tail, 1).logits(whole)
    np.testing.assert_allclose(alike, quantised, rtol=1e-3, atol=1e-3)


def test_every_form_of_the_latent_is_a_point(paths: Paths) -> None:
    points = {point.name: point for point in latent_points(paths, FACES, 1)}
    assert set(points) == {
        *(rate.name for rate in paths.weights.manifest.rates),
        "one byte",
        "float16",
        "float32",
    }
    assert points["one byte"].bytes_mean == 6277
    assert points["float16"].bytes_mean == 5 + 2 * 6272
    assert points["float32"].bytes_mean == 5 + 4 * 6272


def test_points_by_what_people_say(crowd_weights_folder: Path) -> None:
    """The float latents too are asked in the label set that is measured."""
    paths = Paths(Weights(crowd_weights_folder), "", 1)
    right = {}
    for label_set in LabelSet:
        asked = paths.asked(label_set)
        points = {point.name: point for point in latent_points(asked, FACES, 1)}
        scores = asked.sent(asked.z(crops_of(FACES.pictures)), rate_accuracy.FINEST)
        finest = paths.weights.manifest.rates[rate_accuracy.FINEST].name
        assert points[finest].right.tolist() == scores.right(FACES.labels).tolist()
        right[label_set] = points["float32"].right.tolist()
    assert right[LabelSet.CROWD] != right[LabelSet.FER2013]


def test_the_command(
    weights_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_zip(tmp_path / "data.zip", members({"PublicTest": FACES}))
    monkeypatch.setattr(picture_grid, "SIDES_PX", (32, 48))
    monkeypatch.setattr(picture_grid, "QUALITIES", {"jpeg": (10, 60), "webp": (10, 60)})
    monkeypatch.setattr(sys, "argv", [
        "rate_accuracy", "--data", str(tmp_path / "data.zip"), "--weights", str(weights_folder),
        "--threads", "1", "--json", "--plot", str(tmp_path / "a.png"),
    ])  # fmt: skip
    assert rate_accuracy.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["labels"], result["n"]) == ("fer2013", 12)
    kinds = {point["kind"] for point in result["points"]}
    assert kinds == {"rate", "raw", "jpeg", "webp"}
    assert set(result["against"]) == {"jpeg", "webp"}
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "equal accuracy" in table(result)
