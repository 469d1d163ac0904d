from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy.calibration import BINS
from benchmarks.accuracy.crowd import (
    ENTROPY_EDGES,
    by_entropy,
    calibration,
    calibration_row,
    draw,
    measure,
    table,
)
from splitfer.shared.labels import LABELS
from training.data.datasets import DataError
from training.data.votes import COLUMNS, Votes

NAMES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def votes(*rows: dict[str, int]) -> Votes:
    return Votes(np.array([[row.get(name, 0) for name in COLUMNS] for row in rows], np.uint16))


def sure_of(*columns: str) -> np.ndarray:
    """Answers that are sure of the label of each column."""
    return np.eye(7, dtype=np.float32)[[NAMES.index(name) for name in columns]]


def drawn(truth: np.ndarray, voters: int = 10, seed: int = 0) -> Votes:
    """Votes of people who choose by ``truth`` ``(N, 7)``."""
    seven = np.random.default_rng(seed).multinomial(voters, truth)
    counts = np.zeros((len(truth), 10), np.uint16)
    counts[:, [COLUMNS.index(name) for name in NAMES]] = seven
    return Votes(counts)


def test_accuracy_and_macro_figures_by_hand() -> None:
    people = votes(
        {"happiness": 10},
        {"happiness": 8, "neutral": 2},
        {"anger": 6, "sadness": 4},
        {"contempt": 8, "neutral": 2},  # wrong whatever is said; first choice of the seven: neutral
        {"fear": 5, "surprise": 5},  # not in the protocol; first choice: surprise
        {"NF": 10},  # nowhere
        {},
    )
    said = sure_of("happiness", "neutral", "anger", "neutral", "surprise", "fear", "fear")
    found = measure(said, people)
    assert found["protocol"] == {"accuracy": 0.5, "n": 4}
    assert found["plurality"] == {"accuracy": 0.8, "n": 5}
    # Happy: 1 of 2 found, 1 answer. Angry: all. Neutral was said twice and nobody was.
    assert found["recall"] == {name: {"happy": 0.5, "angry": 1.0}.get(name) for name in LABELS}
    assert found["macro_recall"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-6)


def test_contempt_counts_against_the_label_that_was_said() -> None:
    people = votes({"happiness": 10}, {"contempt": 10})
    found = measure(sure_of("happiness", "happiness"), people)
    assert found["recall"]["happy"] == 1
    assert found["macro_f1"] == pytest.approx(2 / 3, abs=1e-6)


def test_cross_entropy_is_least_where_the_answers_are_the_votes() -> None:
    people = votes({"happiness": 5, "neutral": 5, "unknown": 9}, {"anger": 10}, {"NF": 10})
    found = measure(people.distribution, people)
    assert found["cross_entropy"] == pytest.approx(math.log(2) / 2, abs=1e-6)
    assert found["cross_entropy_floor"] == found["cross_entropy"]
    even = np.full((3, 7), 1 / 7, np.float32)
    assert measure(even, people)["cross_entropy"] == pytest.approx(math.log(7), abs=1e-6)
    # Sure and wrong is bad, and not infinitely so.
    assert 5 < measure(sure_of("fear", "fear", "fear"), people)["cross_entropy"] < 20


@pytest.mark.parametrize("seed", range(3))
def test_a_perfect_model_has_the_calibration_error_of_the_floor(seed: int) -> None:
    truth = np.random.default_rng(seed).dirichlet(np.full(7, 0.4), 3000)
    found = calibration(truth.astype(np.float32), drawn(truth, seed=seed))
    for kind in ("ece", "ece_adaptive"):
        assert found[kind] == pytest.approx(found[f"{kind}_floor"], abs=0.003)
        # Its faces scatter as voters do and no more.
        assert found[f"{kind}_expected"] == pytest.approx(found[f"{kind}_floor"], abs=0.001)


def test_a_calibrated_model_that_knows_little_has_the_error_expected_of_it() -> None:
    # Two kinds of faces that it cannot tell apart: half are happy to all, half to nobody.
    rng = np.random.default_rng(4)
    errors, expected = [], []
    for _ in range(20):
        happy = rng.random(1500) < 0.5
        truth = np.where(happy[:, None], np.eye(7)[3], np.eye(7)[4])
        said = np.zeros((1500, 7), np.float32)
        said[:, 3], said[:, 4] = 0.5001, 0.4999
        found = calibration(said, drawn(truth))
        errors.append(found["ece_adaptive"])
        expected.append(found["ece_adaptive_expected"])
        assert found["ece_adaptive_floor"] < 0.5 * found["ece_adaptive_expected"]
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.15)


def test_a_boast_shows_above_the_floor() -> None:
    truth = np.random.default_rng(5).dirichlet(np.full(7, 0.4), 3000)
    boast = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    found = calibration(boast.astype(np.float32), drawn(truth))
    assert found["ece"] > 0.1 > 5 * found["ece_expected"]
    assert found["ece_adaptive"] > 0.1 > 5 * found["ece_adaptive_floor"]


def test_calibration_is_against_the_share_of_the_votes() -> None:
    # All faces in one bin of equal width: 0.9 promised; shares 1.0 and 0.6.
    people = votes(*[{"happiness": 10}] * BINS, *[{"happiness": 6, "fear": 4}] * BINS)
    said = np.full((2 * BINS, 7), 0.1 / 6, np.float32)
    said[:, 3] = 0.9
    assert calibration(said, people)["ece"] == pytest.approx(0.1, abs=1e-6)


def test_calibration_counts_torn_people_and_coverage_the_majoritys_label() -> None:
    # Of ten votes six; where people agree and where their label is contempt or none.
    people = votes(
        *[{"happiness": 6, "fear": 4}] * 3, {"happiness": 5, "fear": 5}, {"contempt": 10}, {"NF": 9}
    )
    said = np.full((6, 7), 0.4 / 6, np.float32)
    said[:, 3] = 0.6
    found = calibration_row(said, people)
    assert found["ece"] == pytest.approx(abs(0.6 - (3 * 0.6 + 0.5) / 4), abs=1e-4)
    assert found["coverage"][0]["accuracy"] == 0.75  # three of the protocol's four
    assert "ece_adaptive_expected" in found
    with pytest.raises(DataError, match="people agree on none"):
        calibration_row(said[:1], votes({"NF": 10}))


def test_the_same_figures_every_time() -> None:
    truth = np.random.default_rng(6).dirichlet(np.ones(7), 200)
    people, said = drawn(truth), truth.astype(np.float32)
    assert json.dumps(measure(said, people)) == json.dumps(measure(said, people))


def test_accuracy_by_how_far_people_agree() -> None:
    people = votes(
        *[{"happiness": 10}] * 30,  # 0 nats
        *[{"happiness": 9, "fear": 1}] * 20,  # 0.325
        *[{"happiness": 5, "fear": 5}] * 10,  # ln 2 = 0.693
        {"happiness": 1, "unknown": 9},  # one vote of the seven: 0 nats
        {"NF": 10},
    )
    answers = np.full(62, 3)
    answers[30:45] = 2
    first, second, third = by_entropy(answers, people)
    assert (first["n"], first["accuracy"], first["people"]) == (31, 1, 1)
    assert (first["above"], first["to"]) == (None, 0)
    assert (second["n"], second["accuracy"]) == (20, 0.25)
    assert second["people"] == pytest.approx(0.9)
    low, high = second["interval_95"]
    assert 0 < low < 0.25 < high < 0.5
    assert (third["to"], third["n"], third["accuracy"]) == (0.7, 10, 1)
    assert third["people"] == pytest.approx(0.5)


def test_no_face_is_beyond_the_last_bin() -> None:
    widest = votes({**dict.fromkeys(NAMES, 3)})
    assert widest.entropy[0] == pytest.approx(math.log(7))
    assert [row["to"] for row in by_entropy(np.zeros(1, np.int64), widest)] == [ENTROPY_EDGES[-1]]


def test_answers_of_other_faces() -> None:
    with pytest.raises(ValueError, match=r"probabilities \(2, 7\) for the votes of 1 faces"):
        measure(sure_of("fear", "fear"), votes({"fear": 10}))


def test_no_face_to_measure_on(tmp_path: Path) -> None:
    found = measure(sure_of("fear"), votes({"NF": 10}))
    assert found["protocol"] == {"accuracy": None, "n": 0}
    assert found["macro_f1"] is found["cross_entropy"] is found["ece"] is None
    assert found["by_entropy"] == []
    assert "NaN" not in json.dumps(found)
    assert "cloud" in table({"cloud": found})
    draw({"cloud": found}, tmp_path / "a.png")


def test_table_and_picture(tmp_path: Path) -> None:
    truth = np.random.default_rng(7).dirichlet(np.full(7, 0.4), 600)
    people = drawn(truth)
    rows = {
        "local": measure(np.roll(truth, 1, axis=1).astype(np.float32), people),
        "cloud": measure(truth.astype(np.float32), people),
    }
    text = table(rows)
    assert f"{rows['cloud']['protocol']['accuracy']:.2%}" in text
    assert "local" in text
    assert "surprise" in text
    draw(rows, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 800
