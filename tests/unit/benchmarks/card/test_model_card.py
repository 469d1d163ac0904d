from __future__ import annotations

import argparse
import copy
import json
import os
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
from benchmarks.card.findings import failures, labels_worth
from benchmarks.card.model_card import report, run_facts
from benchmarks.card.page import page
from benchmarks.card.part import Part
from benchmarks.card.slices import COVERED, covered, of_light, quarters
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.weights import Weights
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training.data.datasets import DataError
from training.data.votes import CONTEMPT, VOTES_VARIABLE, Votes

Row = dict[str, Any]
WITHOUT_VOTES = {name: value for name, value in os.environ.items() if name != VOTES_VARIABLE}
ANGRY, DISGUST, _, HAPPY, NEUTRAL, *_ = range(len(LABELS))


def measured(folder: Path, weights: Path, votes: Path | None, docs: str = "docs") -> Row:
    """The figures of the card that is then in ``folder / docs``."""
    return report(
        argparse.Namespace(
            data=str(folder / "small.zip"),
            votes=votes and str(votes),
            weights=weights,
            docs=folder / docs,
            most=None,
            threads=1,
        )
    )


@pytest.fixture(scope="module")
def by_people(
    crowd_weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Row]:
    """A card of weights that answer what people say."""
    folder = tmp_path_factory.mktemp("people")
    parts = {"Training": made_faces(60, seed=1), "PublicTest": made_faces(40, seed=2)}
    parts["PublicTest"].pictures[0] = parts["Training"].pictures[7]
    write_zip(folder / "small.zip", members(parts))
    votes = write_votes(folder / "votes.csv", parts)
    return folder, measured(folder, crowd_weights_folder, votes)


@pytest.fixture(scope="module")
def made(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Row]:
    """A card of a made-up FER2013, by the command, and the figures that it printed."""
    folder = tmp_path_factory.mktemp("card")
    parts = {"Training": made_faces(60, seed=1), "PublicTest": made_faces(40, seed=2)}
    parts["PublicTest"].pictures[0] = parts["Training"].pictures[7]  # a copy
    write_zip(folder / "small.zip", members(parts))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "model_card", "--data", folder / "small.zip", "--json",
         "--weights", weights_folder, "--docs", folder / "docs", "--threads", "1"],
        capture_output=True, text=True, check=False, timeout=110, env=WITHOUT_VOTES,
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
        low, high = row["fer2013"]["interval_95"]
        assert f"{row['fer2013']['accuracy']:.2%} | {low:.1%} to {high:.1%}" in text
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
    overall = {(row["path"], row["rate"]): row["fer2013"]["accuracy"] for row in card["accuracy"]}
    assert overall["cloud", card["rate"]] == np.trace(card["confusion"]["cloud"]) / 40
    assert overall["local", ""] == np.trace(card["confusion"]["local"]) / 40
    rates = [("cloud", entry.name) for entry in Weights(weights_folder).manifest.rates]
    both = ("cloud+local", card["rate"])
    assert list(overall) == [*rates, ("local", ""), ("image", ""), both]


def test_weights_of_one_label_set_need_no_votes(made: tuple[Path, Row]) -> None:
    docs, card = made
    text = (docs / "model-card.md").read_text()
    assert (card["label_set"], card["people"], card["priors"]) == ("fer2013", {}, {})
    assert "These weights answer `fer2013` alone" in text
    for absent in ("people's label", "VOTES=", "balanced", "nats", "contempt"):
        assert absent not in text.lower()


def test_weights_of_one_label_set_are_held_against_people_too(
    by_people: tuple[Path, Row], weights_folder: Path
) -> None:
    folder = by_people[0]
    card = measured(folder, weights_folder, folder / "votes.csv", "single")
    text = (folder / "single" / "model-card.md").read_text()
    assert (card["label_set"], card["counted"]) == ("fer2013", 40)
    assert "These weights answer `fer2013` alone" in text
    assert "Every tail answers twice" not in text
    assert "about `local`, by FER2013's label." in text
    for row in card["accuracy"]:
        assert f"| {row['crowd']['accuracy']:.2%} |" in text
    assert np.sum(card["confusion"]["cloud"]) == 40


def test_what_people_say_comes_first(by_people: tuple[Path, Row]) -> None:
    folder, card = by_people
    text = (folder / "docs" / "model-card.md").read_text()
    assert card["label_set"] == "crowd"
    said = card["people"]["PublicTest"]
    assert said["protocol"]["n"] == card["counted"] == 32
    assert said["protocol"]["faces"]["contempt"] == 4
    assert text.index("people's label |") < text.index("FER2013's label |")
    for row in card["accuracy"]:
        (people, label), nats = (row["crowd"], row["fer2013"]), row["crowd"]["cross_entropy"]
        assert (people["n"], label["n"]) == (32, 40)
        assert nats >= said["cross_entropy_floor"]
        line = f"| `{row['path']}` | {row['tail']} | {row['rate']} | {people['accuracy']:.2%} | "
        (found,) = [one for one in text.splitlines() if one.startswith(line)]
        assert f"| {nats:.3f} | {label['accuracy']:.2%} |" in found
    assert f"says people's label in {said['voter_is_protocol']:.1%}" in text.replace("\n", " ")
    assert "`make model-card DATA=fer2013.zip VOTES=ferplus.csv`" in text
    assert "| Training, people | 48 |" in text


def test_everything_else_is_by_people_too(by_people: tuple[Path, Row]) -> None:
    card = by_people[1]
    rows = {(row["path"], row["rate"]): row["crowd"] for row in card["accuracy"]}
    for path, rate in (("cloud", card["rate"]), ("local", "")):
        confusion = Confusion(np.array(card["confusion"][path]))
        assert confusion.counts.shape == (8, 7)
        assert (confusion.counts.sum(), confusion.contempt) == (32, 4)
        assert rows[path, rate]["accuracy"] == confusion.accuracy
        assert rows[path, rate]["macro_f1"] == pytest.approx(confusion.mean(confusion.f1), abs=1e-6)
    by: dict[str, int] = {}
    for row in card["slices"]:
        by[row["by"]] = by.get(row["by"], 0) + row["n"]
    assert by == {"brightness": 32, "contrast": 32, "pose": 32}
    assert card["calibration"]["cloud"]["temperature"] == 0.5
    assert card["calibration"]["cloud"]["ece_adaptive_expected"] > 0
    assert card["sure"]["cloud"]["n"] <= 32


def test_both_priors_side_by_side(by_people: tuple[Path, Row]) -> None:
    folder, card = by_people
    text = (folder / "docs" / "model-card.md").read_text()
    overall = {(row["path"], row["rate"]): row["crowd"] for row in card["accuracy"]}
    assert set(card["priors"]) == {"cloud", "local", "cloud+local"}
    for name, by_prior in card["priors"].items():
        rate = "" if name == "local" else card["rate"]
        assert by_prior["natural"]["accuracy"] == overall[name, rate]["accuracy"]
        for prior, row in by_prior.items():
            start = f"| `{name}` | {prior} | {row['accuracy']:.2%} | {row['macro_f1']:.3f} |"
            assert start in text
    natural, even = (card["priors"]["cloud"][prior] for prior in ("natural", "balanced"))
    assert natural != even
    for label in ("disgust", "fear"):
        found, even = (card["priors"]["cloud+local"][prior]["recall"][label] for prior in by_prior)
        assert (
            f"- `{label}` is found on {found:.1%} of its faces, under `balanced` on {even:.1%};"
            in text
        )


def test_the_same_input_gives_the_same_page(
    by_people: tuple[Path, Row], crowd_weights_folder: Path
) -> None:
    folder, card = by_people
    again = measured(folder, crowd_weights_folder, folder / "votes.csv", "again")
    assert json.dumps(again | {"page": ""}) == json.dumps(card | {"page": ""})
    names = sorted(path.name for path in (folder / "docs").iterdir())
    assert len(names) == 4
    for name in names:
        assert (folder / "again" / name).read_bytes() == (folder / "docs" / name).read_bytes()


def test_weights_that_answer_what_people_say_need_votes(
    by_people: tuple[Path, Row], crowd_weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VOTES_VARIABLE, raising=False)
    with pytest.raises(DataError, match="pass --votes FILE"):
        measured(by_people[0], crowd_weights_folder, None, "none")
    assert not (by_people[0] / "none").exists()
    faces = made_faces(2)
    with pytest.raises(DataError, match="without their votes"):
        Part(faces).truth(LabelSet.CROWD)
    nobody = Votes(np.zeros((2, 10), np.uint16))
    with pytest.raises(DataError, match="people agree on none of the faces"):
        Part(faces, nobody).truth(LabelSet.CROWD)


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


def test_contempt_is_told(made: tuple[Path, Row]) -> None:
    card = copy.deepcopy(made[1])
    counts = np.vstack([10 * np.eye(7, dtype=int), np.zeros((1, 7), int)])
    counts[7, [ANGRY, NEUTRAL]] = 1, 3
    card["confusion"]["cloud"] = counts.tolist()
    told = "\n".join(failures(card, "cloud"))
    assert "Contempt is no answer: its 4 faces are all wrong, most often `neutral` (75%)." in told
    assert "Answered too often" not in told
    assert "| contempt | 4 |" in page(card, [])


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


def test_contempt_is_always_wrong() -> None:
    labels = np.array([HAPPY] * 3 + [CONTEMPT])
    found = Confusion.of(labels, np.array([HAPPY, HAPPY, NEUTRAL, HAPPY]))
    assert found.counts.shape == (8, 7)
    assert (found.accuracy, found.contempt) == (0.5, 1)
    assert found.recall[HAPPY] == found.precision[HAPPY] == pytest.approx(2 / 3)
    assert found.f1[HAPPY] == pytest.approx(4 / 6)
    assert found.faces.tolist() == [0, 0, 0, 3, 0, 0, 0]
    assert found.mean(found.recall) == pytest.approx(2 / 3)  # of the label that has faces
    assert found.worst(1) == [(HAPPY, NEUTRAL)]


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
        ("data", "FER2013 Training"),
        ("start from", "none/such"),
        ("run", "[`tests/unit`](../../tests/unit)"),
    ]


def test_errors_are_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "model_card", "--data", "none.zip"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["benchmark: no data set at none.zip"]
