from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.card import slices
from benchmarks.card.confusion import Confusion
from benchmarks.card.page import page
from benchmarks.card.slices import COVERED, covered, of_light, quarters
from benchmarks.card.words import failures, labels_worth
from benchmarks.model_card import run_facts
from shared.labels import LABELS
from shared.weights import Weights
from tests.unit.training.faces import made_faces, members, write_zip

Row = dict[str, Any]
ANGRY, DISGUST, _, HAPPY, NEUTRAL, *_ = range(len(LABELS))


@pytest.fixture(scope="module")
def made(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Row]:
    """A card of a made-up FER2013, by the command, and the figures that it printed."""
    folder = tmp_path_factory.mktemp("card")
    parts = {"Training": made_faces(60, seed=1), "PublicTest": made_faces(40, seed=2)}
    parts["PublicTest"].pictures[0] = parts["Training"].pictures[7]  # a copy
    write_zip(folder / "small.zip", members(parts))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.model_card", "--data", folder / "small.zip", "--json",
         "--weights", weights_folder, "--docs", folder / "docs", "--threads", "1"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "docs", json.loads(done.stdout)


def test_the_page_and_its_pictures_are_written(made: tuple[Path, Row]) -> None:
    docs, card = made
    text = (docs / "model-card.md").read_text()
    assert f"# Model card: weights `{card['fingerprint']}`" in text
    for name in ("confusion", "slices", "calibration"):
        assert f"](model-card-{name}.png)" in text
        with Image.open(docs / f"model-card-{name}.png") as image:
            assert image.size > (500, 200)


def test_the_page_holds_the_figures(made: tuple[Path, Row]) -> None:
    docs, card = made
    text = (docs / "model-card.md").read_text()
    for row in card["accuracy"]:
        low, high = row["interval_95"]
        assert f"{row['accuracy']:.2%} | {low:.1%} to {high:.1%}" in text
    for row in card["slices"]:
        assert f"| {row['by']}: {row['name']} | {row['n']:,} |" in text
    for path in ("cloud", "local"):
        for sentence in failures(card, path):
            assert f"- {sentence}\n" in text


def test_what_is_measured_is_whole(made: tuple[Path, Row], weights_folder: Path) -> None:
    card = made[1]
    assert card["copies_in_training"] == 1
    for counts in card["confusion"].values():
        assert np.sum(counts) == 40
    by: dict[str, int] = {}
    for row in card["slices"]:
        by[row["by"]] = by.get(row["by"], 0) + row["n"]
    assert by == {"brightness": 40, "contrast": 40, "pose": 40}
    overall = {(row["path"], row["rate"]): row["accuracy"] for row in card["accuracy"]}
    assert overall["cloud", card["rate"]] == np.trace(card["confusion"]["cloud"]) / 40
    assert overall["local", ""] == np.trace(card["confusion"]["local"]) / 40
    rates = [("cloud", entry.name) for entry in Weights(weights_folder).manifest.rates]
    both = ("cloud+local", card["rate"])
    assert list(overall) == [*rates, ("local", ""), ("image", card["rate"]), both]


def test_another_measurement_is_another_text(made: tuple[Path, Row]) -> None:
    """No figure of the page stands in the code: other figures, other words."""
    card = copy.deepcopy(made[1])
    counts = 10 * np.eye(7, dtype=int)
    counts[DISGUST] = [9, 1, 0, 0, 0, 0, 0]
    card["confusion"]["cloud"] = counts.tolist()
    card["sure"]["cloud"] = {"from": 0.8, "n": 50, "wrong": 3}
    card["covered"]["eyes"]["cloud"] |= {"difference": -0.125, "interval_95": [-0.15, -0.1]}
    card["covered"]["mouth"]["cloud"] |= {"difference": 0.01, "interval_95": [-0.02, 0.03]}
    told = "\n".join(failures(card, "cloud"))
    assert "`disgust` (10%) and `angry` (100%) worst" in told
    assert "`disgust` taken for `angry` (90% of its faces; the other way round 0%)" in told
    assert "Answered too often: `angry` (1.90 answers a face)." in told
    assert "Answered too rarely: `disgust` (0.10)." in told
    assert "Of the 50 answers with a probability of at least 80%, 3 (6.0%)" in told
    assert "Covering the eyes costs 12.5 points (10.0 to 15.0)." in told
    assert "Covering the mouth changes the accuracy by no more than chance." in told
    assert told.splitlines()[0][2:] in page(card, [])


def test_slices_apart_from_the_whole_are_named(made: tuple[Path, Row]) -> None:
    card = copy.deepcopy(made[1])
    counts = np.zeros((7, 7), int)
    counts[HAPPY, [HAPPY, ANGRY]] = 60, 40
    card["confusion"]["local"] = counts.tolist()
    for at, row in enumerate(card["slices"]):
        value = 0.3 if at == 2 else 0.6
        row["local"] = {"accuracy": value, "interval_95": [value - 0.1, value + 0.1]}
    name = card["slices"][2]["name"]
    told = failures(card, "local")[-1]
    assert told == f"Slices clearly worse than all faces (60.0%): brightness, {name}: 30.0%."
    card["slices"][2]["local"]["interval_95"] = [0.2, 0.61]
    assert "No slice below is further" in failures(card, "local")[-1]


def test_what_copies_say_of_the_labels() -> None:
    rows = {"Training": {"pairs": 40, "differ": 10}, "other": {"pairs": 0, "differ": 0}}
    assert labels_worth({"labels": rows}).endswith("Training: 10 of 40 pairs (25%).")
    none = {"Training": {"pairs": 0, "differ": 0}}
    assert "cannot be compared" in labels_worth({"labels": none})


def test_recall_precision_and_f1() -> None:
    labels = np.array([ANGRY] * 4 + [HAPPY] * 6)
    answers = np.array([ANGRY, ANGRY, HAPPY, NEUTRAL] + [HAPPY] * 5 + [ANGRY])
    found = Confusion.of(labels, answers)
    assert found.counts[ANGRY].tolist() == [2, 0, 0, 1, 1, 0, 0]
    assert (found.recall[ANGRY], found.precision[ANGRY]) == (0.5, pytest.approx(2 / 3))
    assert found.f1[ANGRY] == pytest.approx(4 / 7)
    assert found.recall[DISGUST] == found.f1[DISGUST] == 0
    assert found.worst(2) == [(ANGRY, HAPPY), (ANGRY, NEUTRAL)]


@given(st.lists(st.integers(0, 255), min_size=1, max_size=60))
def test_quarters_share_all_faces_evenly(values: list[int]) -> None:
    found = quarters("brightness", np.array(values, float))
    chosen = np.array([one.chosen for one in found])
    assert (chosen.sum(axis=0) == 1).all()
    sizes = chosen.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1
    tops = [max(v for v, c in zip(values, one.chosen, strict=True) if c) for one in found]
    assert tops == sorted(tops)


def test_light_is_told_apart() -> None:
    pictures = np.full((4, 48, 48), 100, np.uint8)
    pictures[2] = 200
    pictures[3, ::2] = 0
    slices_of = {(s.by, s.name.split(" (")[0]): s.chosen for s in of_light(pictures)}
    assert slices_of["brightness", "highest quarter"].tolist() == [False, False, True, False]
    assert slices_of["contrast", "highest quarter"].tolist() == [False, False, False, True]


@pytest.mark.parametrize("part", COVERED)
def test_a_bar_covers_its_part_alone(part: str) -> None:
    faces = made_faces(3).pictures
    made = covered(faces, part)
    changed = made != faces
    rows, columns = COVERED[part]
    outside = np.ones((48, 48), bool)
    outside[rows, columns] = False
    assert not changed[:, outside].any()
    for picture, bar in zip(faces, made, strict=True):
        assert set(bar[rows, columns].ravel()) == {round(picture.mean())}


def test_pose_of_a_face_and_of_none(astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = Image.fromarray(astronaut).convert("L").crop((170, 40, 290, 160)).resize((48, 48))
    face = np.asarray(grey)
    found = {s.name: s.chosen.tolist() for s in slices.of_pose(np.stack([face, face * 0]))}
    assert found.pop(slices.NO_FACE) == [False, True]
    ((name, chosen),) = found.items()
    assert name in slices.POSES
    assert chosen == [True, False]


def test_the_run_is_a_link() -> None:
    facts = run_facts({"data": "FER2013 Training", "start_from": "none/such", "run": "tests/unit"})
    assert facts == [
        ("data", "FER2013 Training"), ("start from", "none/such"),
        ("run", "[`tests/unit`](../tests/unit)"),
    ]  # fmt: skip


def test_errors_are_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.model_card", "--data", "none.zip"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["benchmark: no data set at none.zip"]
