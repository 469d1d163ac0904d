from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.truth import add_truth, faces_of, label_set_of
from splitfer.shared.errors import ConfigError
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training.data.datasets import DataError
from training.data.votes import CONTEMPT, VOTES_VARIABLE

FACES = made_faces(20, seed=5)


@pytest.fixture(autouse=True)
def no_votes_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VOTES_VARIABLE, raising=False)


@pytest.fixture
def votes(tmp_path: Path) -> str:
    return str(write_votes(tmp_path / "votes.csv", {"PublicTest": FACES}))


def arguments(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_truth(parser)
    parser.add_argument("--usage", default="PublicTest")
    return parser.parse_args(line)


def test_whose_labels_count(
    crowd_weights_folder: Path, weights_folder: Path, votes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, single = Weights(crowd_weights_folder), Weights(weights_folder)
    assert label_set_of(arguments("--votes", votes), both) is LabelSet.CROWD
    assert label_set_of(arguments("--votes", votes), single) is LabelSet.FER2013
    assert label_set_of(arguments(), both) is LabelSet.FER2013
    asked = arguments("--votes", votes, "--labels", "fer2013")
    assert label_set_of(asked, both) is LabelSet.FER2013
    with pytest.raises(ConfigError, match="do not answer crowd; they answer fer2013"):
        label_set_of(arguments("--labels", "crowd"), single)
    monkeypatch.setenv(VOTES_VARIABLE, votes)
    assert label_set_of(arguments(), both) is LabelSet.CROWD


def test_faces_and_their_labels(votes: str, tmp_path: Path) -> None:
    data = tmp_path / "data.zip"
    write_zip(data, members({"PublicTest": FACES}))
    line = ("--data", str(data), "--votes", votes)
    every = faces_of(arguments(*line), LabelSet.FER2013)
    assert every.labels.tolist() == FACES.labels.tolist()
    people = faces_of(arguments(*line), LabelSet.CROWD)
    # The sixth of every ten is no face, of the ninth people cannot agree what it shows.
    kept = [n for n in range(20) if n % 10 not in (6, 9)]
    assert people.ids.tolist() == kept
    np.testing.assert_array_equal(people.pictures, FACES.pictures[kept])
    expected = [CONTEMPT if n % 10 == 3 else FACES.labels[n] for n in kept]
    assert people.labels.tolist() == expected


def test_people_without_votes(tmp_path: Path) -> None:
    data = tmp_path / "data.zip"
    write_zip(data, members({"PublicTest": FACES}))
    with pytest.raises(DataError, match=f"pass --votes FILE or set {VOTES_VARIABLE}"):
        faces_of(arguments("--data", str(data)), LabelSet.CROWD)
