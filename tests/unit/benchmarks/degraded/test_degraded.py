from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.degraded import degraded, quality_fit
from benchmarks.degraded.answers import Answers, compared, row, rows, truths
from benchmarks.degraded.degradations import CLEAN, DEGRADATIONS, SEVERE
from benchmarks.degraded.degraded import HELD_OUT, load, parser, report, table
from benchmarks.degraded.quality_bands import ALONE, WITH, area, bands, measure
from splitfer.shared.errors import ConfigError
from training.data.datasets import Faces, load_fer2013, split_off
from training.data.votes import COLUMNS, VOTES_VARIABLE, Votes

FACES = Faces(
    np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8),
    np.array([0, 3, 3, 4, 5]),
    np.arange(5),
)
DARK = "light x 0.015"
ALL = DEGRADATIONS | SEVERE


def votes(*rows: dict[str, int]) -> Votes:
    return Votes(np.array([[row.get(name, 0) for name in COLUMNS] for row in rows], np.uint16))


def sure(labels: list[int], confidence: float = 0.9) -> np.ndarray:
    """Answers ``(N, 7)`` with one probability each for a label."""
    rest = (1 - confidence) / 6
    return (np.eye(7) * (confidence - rest) + rest).astype(np.float32)[labels]


def test_a_row_by_hand() -> None:
    found = row(sure([0, 3, 3, 0, 0]), truths(FACES, None)["fer2013"])
    assert found == {
        "accuracy": 0.6,
        "n": 5,
        "confidence_mean": 0.9,
        "ece": 0.3,
        "sure_and_wrong": 0.4,
    }
    unsure = row(sure([0, 3, 3, 0, 0], 0.7), truths(FACES, None)["fer2013"])
    assert unsure["sure_and_wrong"] == 0


def test_the_crowd_counts_only_what_its_protocol_does() -> None:
    people = votes(
        {"anger": 9}, {"happiness": 6, "neutral": 4}, {"NF": 10}, {}, {"neutral": 5, "sadness": 5}
    )
    found = row(sure([0, 3, 3, 4, 4]), truths(FACES, people)["crowd"])
    assert (found["n"], found["accuracy"]) == (2, 1.0)
    # Against the shares of the votes: 1, 0.6 and (which the protocol leaves out) 0.5.
    assert found["ece"] == pytest.approx(0.9 - (1 + 0.6 + 0.5) / 3, abs=1e-4)


def test_what_is_lost_is_counted_on_the_same_faces() -> None:
    clean, dark = sure([0, 3, 3, 4, 5]), sure([0, 3, 0, 0, 5])
    truth = truths(FACES, None)["fer2013"]
    found = rows({"cloud": {CLEAN: clean, DARK: dark}}, truth)["cloud"]
    assert "change" not in found[CLEAN]
    assert found[DARK]["change"]["difference"] == -0.4
    low, high = found[DARK]["change"]["interval_95"]
    assert -1 <= low < -0.4 < high <= 0


def test_other_weights_are_compared_by_what_they_lose() -> None:
    ours = {"cloud": {CLEAN: sure([0, 3, 3, 4, 5]), DARK: sure([0, 3, 3, 4, 0])}}
    theirs = {"cloud": {CLEAN: sure([0, 3, 3, 4, 0]), DARK: sure([0, 3, 0, 0, 0])}}
    found = compared(ours, theirs, truths(FACES, None)["fer2013"])["cloud"]
    assert found[DARK]["difference"] == 0.4
    assert found[DARK]["loss_share"] == 0.5  # one face where they lose two
    assert found[CLEAN]["loss_share"] is None


def test_area_by_hand_and_among_equals() -> None:
    sureness = np.array([0.9, 0.8, 0.7], np.float32)
    assert area(sureness, np.array([True, True, False])) == pytest.approx((0 + 0 + 1 / 3) / 3)
    assert area(sureness, np.array([False, True, True])) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    equal = np.full(3, 0.5, np.float32)
    assert area(equal, np.array([True, True, False])) == pytest.approx(1 / 3)


def test_bands_have_their_own_accuracy() -> None:
    confidence = np.array([0.9, 0.8, 0.5, 0.5], np.float32)
    correct = np.array([True, False, True, True])
    found = bands(confidence, confidence / 2, correct, np.array([0.1, 0.2, 0.95, 1.0]))
    assert [(one["from"], one["to"], one["n"], one["accuracy"]) for one in found] == [
        (0.0, 0.2, 1, 1.0), (0.2, 0.4, 1, 0.0), (0.95, 1.0, 2, 1.0),
    ]  # fmt: skip
    assert (found[0]["confidence_mean"], found[0]["fallen_mean"]) == (0.9, 0.45)


def test_where_dark_pictures_are_answered_wrongly_quality_helps() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 256, (30, 16, 16), dtype=np.uint8)
    pictures = np.stack([np.asarray(Image.fromarray(one).resize((48, 48))) for one in coarse])
    faces = Faces(pictures, np.zeros(30, np.int64), np.arange(30))
    ours: Answers = {"cloud": {name: sure([0] * 30, 0.8) for name in ALL}}
    ours["cloud"][DARK] = sure([4] * 30, 0.85)  # sure, and wrong
    even = {"fer2013": (1 / 7,) * 7}
    found = measure({"fer2013": ours}, truths(faces, None), pictures, even)
    assert found["by_kind"][DARK]["score"] < found["by_kind"]["light x 0.25"]["score"]
    assert found["by_kind"]["face of 20 px"]["score"] == found["by_kind"]["face of 20 px"]["size"]
    cloud = found["label_sets"]["fer2013"]["cloud"]
    assert cloud["area"][WITH] < cloud["area"][ALONE]
    first, last = cloud["thresholds"][0], cloud["thresholds"][-1]
    assert first["uncertain"] == 0
    assert first["accuracy_of_uncertain"] is None
    assert last["uncertain"] > last["uncertain_of_clean"]


def test_the_scale_that_is_chosen_is_no_worse_than_most() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(60, 256, (20, 16, 16), dtype=np.uint8)
    pictures = np.stack([np.asarray(Image.fromarray(one).resize((48, 48))) for one in coarse])
    faces = Faces(pictures, np.zeros(20, np.int64), np.arange(20))
    kinds = {name: sure([0] * 20, 0.8) for name in DEGRADATIONS}
    kinds[DARK] = sure([4] * 20, 0.85)
    ours: dict[str, Answers] = {"fer2013": {"cloud": kinds, "local": kinds}}
    few, many = (
        quality_fit.chosen(ours, truths(faces, None), pictures, rounds) for rounds in (3, 40)
    )
    error, risk = many["loss"]["found"]
    assert error + 0.5 * risk < few["loss"]["found"][0] + 0.5 * few["loss"]["found"][1]
    assert risk < many["area_of_confidence_alone"]
    assert set(many["scale"]) == set(quality_fit.RANGES)


def arguments(*given: str) -> Any:
    return parser().parse_args([*given, "--threads", "1"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013 as a folder: 60 pictures of Training, 6 of PublicTest."""
    folder = tmp_path_factory.mktemp("fer2013")
    rng = np.random.default_rng(2)
    for part, usage, n in (("train", "Training", 60), ("test", "PublicTest", 6)):
        for label in ("happy", "sad"):
            (folder / part / label).mkdir(parents=True, exist_ok=True)
        for place in range(n):
            picture = Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8))
            label = ("happy", "sad")[place % 2]
            picture.save(folder / part / label / f"{usage}_{place}.png")
    return folder


def test_the_whole_measurement(
    weights_folder: Path, old_weights_folder: Path, data: Path, tmp_path: Path
) -> None:
    people = tmp_path / "votes.csv"
    people.write_text(
        "name,"
        + ",".join(COLUMNS)
        + "\n"
        + "".join(f"PublicTest_{n},0,9,0,1,0,0,0,0,0,0\n" for n in range(6))
    )
    common = ("--data", str(data), "--votes", str(people), "--weights", str(weights_folder))
    common += ("--most", "4", "--tail", "cloud", "--rate", "default")
    plot = tmp_path / "degraded.png"
    result = report(arguments(*common, "--against", str(old_weights_folder), "--plot", str(plot)))
    assert set(result["label_sets"]) == {"fer2013", "crowd"}
    for paths in result["label_sets"].values():
        assert list(paths) == ["cloud", "local", "cloud+local"]
        assert list(paths["cloud"]) == list(DEGRADATIONS)
        assert paths["cloud"][CLEAN]["n"] == 4
    json.dumps(result)
    text = table(result)
    assert "76c2ec20ba6c6356" in text
    assert text.count("light x 0.1") == 6
    assert plot.stat().st_size > 20_000

    result = report(arguments(*common, "--bands", "--plot", str(plot)))
    assert set(result["bands"]["by_kind"]) == set(ALL)
    assert WITH in table(result)
    json.dumps(result)
    assert plot.stat().st_size > 20_000
    with pytest.raises(ConfigError, match="no 'fast'"):
        report(arguments("--data", str(data), "--weights", str(weights_folder), "--rate", "fast"))


def test_examples_are_drawn_without_measuring(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(degraded, "answers_by_label_set", None)
    target = tmp_path / "examples.png"
    result = report(arguments("--data", str(data), "--examples", str(target)))
    with Image.open(target) as image:
        assert image.height == len(DEGRADATIONS) * 100 + 4
    assert str(target) in table(result)


def test_the_held_out_part_is_the_one_that_training_leaves_out(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VOTES_VARIABLE, raising=False)
    training = load_fer2013(data, "Training")
    faces, people = load(arguments("--data", str(data), "--usage", HELD_OUT))
    assert people is None
    np.testing.assert_array_equal(faces.ids, split_off(training, 0.04)[1].ids)
    assert 0 < len(faces) < len(training)
    one, _ = load(arguments("--data", str(data), "--usage", HELD_OUT, "--most", "1"))
    assert one.ids.tolist() == faces.ids[:1].tolist()
