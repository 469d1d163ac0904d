from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import accuracy, crowd
from benchmarks.accuracy.accuracy import table
from benchmarks.accuracy.by_path import bytes_row, columns_of, row
from benchmarks.accuracy.paths import Column, Paths, Scores, crops_of, measure
from benchmarks.accuracy.picture_codec import PictureCodec
from benchmarks.common.wilson import wilson
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training.data.votes import VOTES_VARIABLE, load_votes

FACES = made_faces(40, seed=5)
PNG = PictureCodec("png", None)
WITHOUT_VOTES = {name: value for name, value in os.environ.items() if name != VOTES_VARIABLE}


@pytest.fixture(scope="module")
def paths(weights_folder: Path) -> Paths:
    return Paths(Weights(weights_folder), "", 1)


def scores_of(answers: list[int], sizes: list[int]) -> Scores:
    return Scores(np.eye(7, dtype=np.float32)[answers], np.array(sizes))


def test_a_row_counts_right_answers_and_bytes() -> None:
    scores = scores_of([0, 1, 2, 3], [10, 20, 30, 40])
    found = row(scores, np.array([0, 1, 2, 0]), None) | bytes_row(scores.sent_bytes)
    assert (found["accuracy"], found["bytes_mean"], found["bytes_max"]) == (0.75, 25, 40)
    assert "accuracy_without_copies" not in found


def test_faces_with_a_copy_are_left_out_beside() -> None:
    has_copy = np.array([True, False, False, False])
    found = row(scores_of([0, 1, 2, 3], [0] * 4), np.array([0, 1, 0, 0]), has_copy)
    assert found["accuracy"] == 0.5
    assert found["accuracy_without_copies"] == round(1 / 3, 6)
    assert bytes_row(np.zeros(4, np.int64)) == {}


def test_a_lossless_picture_gives_the_backbones_logits(paths: Paths) -> None:
    rate = paths.weights.rate_index("")
    local, cloud, image = (Column(AnswerPath(one), rate) for one in ("local", "cloud", "image"))
    scores = measure(paths, [local, cloud, image], FACES.pictures, PNG)
    np.testing.assert_allclose(scores[image].logits, scores[local].logits, rtol=0, atol=1e-4)
    assert ((scores[image].sent_bytes > 500) & (scores[image].sent_bytes < 4000)).all()
    assert (scores[cloud].sent_bytes > 5).all()


def test_both_together_are_the_mean_of_what_users_get(paths: Paths) -> None:
    rate = paths.weights.rate_index("")
    local, cloud = Column(AnswerPath.LOCAL, rate), Column(AnswerPath.CLOUD, rate)
    scores = measure(paths, [local, cloud], FACES.pictures, PNG)
    both = paths.together(scores[local], scores[cloud], rate)
    mean = (
        paths.probabilities(local, scores[local]) + paths.probabilities(cloud, scores[cloud])
    ) / 2
    np.testing.assert_allclose(np.exp(both.logits), mean, rtol=1e-5)
    assert (both.sent_bytes == scores[cloud].sent_bytes).all()


def test_local_sends_nothing_and_is_the_heads_other_output(paths: Paths) -> None:
    local = Column(AnswerPath.LOCAL, 0)
    scores = measure(paths, [local], FACES.pictures, PNG)[local]
    assert not scores.sent_bytes.any()
    alone = paths.run([local], crops_of(FACES.pictures[:3]))[local]
    np.testing.assert_allclose(alone.logits, scores.logits[:3], rtol=0, atol=1e-4)


def test_a_rate_can_be_named(paths: Paths) -> None:
    rates = paths.weights.manifest.rates
    named = columns_of(paths.weights, "cloud", rates[-1].name)
    assert named == {"cloud": Column(AnswerPath.CLOUD, len(rates) - 1)}
    every = columns_of(paths.weights, "all", "all")
    assert {"cloud", "local", "image"} <= set(every)
    assert len(every) == 2 + len(rates)
    with pytest.raises(ConfigError, match="nonsense"):
        columns_of(paths.weights, "all", "nonsense")


def test_the_local_tail_is_no_cloud_tail(weights_folder: Path) -> None:
    with pytest.raises(WeightsError, match="not a cloud tail"):
        Paths(Weights(weights_folder), "local", 1)


def test_the_interval_of_a_share() -> None:
    assert str(wilson(0, 7)[0]) == "0.0"  # and not -0.0
    low, high = wilson(2270, 3589)
    assert low < 2270 / 3589 < high
    assert 0.03 < high - low < 0.033


def test_the_command_prints_json_and_needs_no_torch(weights_folder: Path, tmp_path: Path) -> None:
    write_zip(tmp_path / "small data.zip", members({"PublicTest": FACES}))
    code = (
        "import sys, runpy\n"
        "sys.modules['torch'] = None  # importing it fails\n"
        "runpy.run_module('benchmarks.accuracy.accuracy', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--data", tmp_path / "small data.zip", "--json",
         "--weights", weights_folder, "--most", "8", "--threads", "1"],
        capture_output=True, text=True, check=False, timeout=60, env=WITHOUT_VOTES,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["usage"] == "PublicTest"
    assert result["n"] == 8
    assert result["fingerprint"] == weights_folder.name
    assert set(result["paths"]) == {"cloud", "local", "image", "cloud+local"}
    for found in result["paths"].values():
        assert 0 <= found["fer2013"]["accuracy"] <= 1
        assert found["fer2013"]["n"] == 8
        assert "crowd" not in found
    assert result["paths"]["cloud"]["bytes_mean"] > 5
    assert result["paths"]["image"]["picture_codec"] == "jpeg:75, 48x48 grey"
    assert "PublicTest, 8 faces" in table(result)


def test_copies_and_other_weights_stand_beside(
    weights_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    training = made_faces(20, seed=6, first_id=100)
    training.pictures[:3] = FACES.pictures[:3]
    write_zip(tmp_path / "data.zip", members({"PublicTest": FACES, "Training": training}))
    monkeypatch.setattr(sys, "argv", [
        "accuracy", "--data", str(tmp_path / "data.zip"), "--weights", str(weights_folder),
        "--against", str(weights_folder), "--path", "local", "--threads", "1", "--json",
    ])  # fmt: skip
    assert accuracy.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["copies_in_training"] == 3
    assert result["against"]["paths"]["local"]["difference"] == 0
    assert result["against"]["paths"]["local"]["interval_95"] == [0, 0]
    assert "without the 3 faces" in table(result)


def measured(monkeypatch: pytest.MonkeyPatch, *line: object) -> dict[str, Any]:
    """What ``report`` gives for a command line."""
    found: list[dict[str, Any]] = []

    def kept(arguments: argparse.Namespace, report: Callable[..., Any], _: object) -> int:
        found.append(report(arguments))
        return 0

    monkeypatch.setattr(accuracy, "finish", kept)
    monkeypatch.setattr(sys, "argv", ["accuracy", *map(str, line)])
    assert accuracy.main() == 0
    return found[0]


def test_both_label_sets_on_every_path(
    crowd_weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "data.zip", members({"PublicTest": FACES}))
    votes = write_votes(tmp_path / "votes.csv", {"PublicTest": FACES})
    result = measured(
        monkeypatch,
        "--data",
        tmp_path / "data.zip",
        "--votes",
        votes,
        "--weights",
        crowd_weights_folder,
        "--threads",
        1,
        "--plot",
        tmp_path / "a.png",
    )
    json.dumps(result)
    assert (tmp_path / "a.png").stat().st_size > 5_000
    assert set(result["paths"]) == {"cloud", "local", "image", "cloud+local"}
    for name, found in result["paths"].items():
        said = found["crowd"]
        assert found["fer2013"]["n"] == 40
        # Of ten faces one is none and one nobody agrees on; the latter has a first choice.
        assert (said["protocol"]["n"], said["plurality"]["n"]) == (32, 36)
        assert 0 <= said["protocol"]["accuracy"] <= 1
        assert said["cross_entropy"] > said["cross_entropy_floor"]
        assert 0 <= said["macro_f1"] <= 1
        assert set(said["balanced"]["recall"]) == set(said["recall"])
        assert ("bytes_mean" in found) == (name != "local")
    assert "cloud - local, crowd" in result["differences"]
    text = table(result)
    assert "by what people said:" in text
    assert "under an even prior" in text

    # The tails say one thing to FER2013's label and another to people's.
    weights = Weights(crowd_weights_folder)
    local = Column(AnswerPath.LOCAL, weights.rate_index(""))
    paths = Paths(weights, "", 1)
    scores = measure(paths, [local], FACES.pictures, PNG)[local]
    by_label = scores.asked(LabelSet.FER2013).right(FACES.labels).mean()
    people = load_votes(votes, FACES, "PublicTest")
    expected = crowd.measure(paths.probabilities(local, scores), people)
    assert result["paths"]["local"]["fer2013"]["accuracy"] == round(float(by_label), 6)
    for key in ("protocol", "plurality", "cross_entropy"):
        assert result["paths"]["local"]["crowd"][key] == pytest.approx(expected[key], abs=1e-5)


def test_weights_of_one_label_set_are_measured_by_what_people_say_too(
    weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "data.zip", members({"PublicTest": FACES}))
    votes = write_votes(tmp_path / "votes.csv", {"PublicTest": FACES})
    result = measured(
        monkeypatch,
        "--data",
        tmp_path / "data.zip",
        "--votes",
        votes,
        "--path",
        "local",
        "--weights",
        weights_folder,
        "--threads",
        1,
    )
    found = result["paths"]["local"]
    assert (found["fer2013"]["n"], found["crowd"]["protocol"]["n"]) == (40, 32)
    assert found["crowd"]["cross_entropy"] > 0
    assert "balanced" not in found["crowd"]  # they do not say how common the labels were
    assert "by what people said:" in table(result)


def test_calibration_by_either_label_set(
    crowd_weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "data.zip", members({"PublicTest": FACES}))
    votes = write_votes(tmp_path / "votes.csv", {"PublicTest": FACES})
    line = (
        "--data", tmp_path / "data.zip", "--votes", votes, "--weights", crowd_weights_folder,
        "--threads", 1, "--path", "local", "--calibration",
    )  # fmt: skip
    people, label = measured(monkeypatch, *line), measured(monkeypatch, *line, "--labels=fer2013")
    assert (people["labels"], label["labels"]) == ("crowd", "fer2013")
    row, by_label = people["calibration"]["local"], label["calibration"]["local"]
    # What is promised is a share of votes; it is kept or not on faces without a label, too.
    assert sum(place["n"] for place in row["reliability"]) == 36
    assert row["ece_adaptive_expected"] > 0
    assert sum(place["n"] for place in by_label["reliability"]) == 40
    assert "ece_adaptive_expected" not in by_label


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "none.zip"], 3, "no data set at none.zip"),
        (["--picture-codec", "gif"], 2, "none of jpeg"),
        (["--most", "0"], 2, "at least 1"),
        (["--plot", "a.png", "--through-detector"], 2, "goes with neither --through-detector"),
        (["--votes", "none.csv"], 3, "no file of votes at none.csv"),
        (["--plot", "a.png"], 3, "no votes: pass --votes FILE"),
        (["--calibration", "--labels", "crowd"], 2, "do not answer crowd"),
        (["--labels", "nobody"], 2, "invalid"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    code: int,
    message: str,
    weights_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(VOTES_VARIABLE, raising=False)
    data = tmp_path / "data.zip"
    write_zip(data, members({"PublicTest": made_faces(2)}))
    start = ["accuracy", "--data", str(data), "--weights", str(weights_folder), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", [*start, *arguments])
    try:
        found = accuracy.main()
    except SystemExit as end:
        found = end.code  # type: ignore[assignment]  # argparse gives a number
    assert found == code
    assert message in capsys.readouterr().err.splitlines()[-1]
