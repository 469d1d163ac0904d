from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.store import default_folder
from tests.unit.training.data.test_votes import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training.data.datasets import Faces
from training.data.judged import LEFT_OUT, Judged
from training.data.votes import COLUMNS
from training.study import ablate
from training.study.ablate import Network, Seen, train
from training.study.ablation import STUDIES, Budget, append_run, config, read_runs
from training.study.latents import Latents, plain_latents, random_latents

FACES = made_faces(24, seed=3)
TINY = Budget("0" * 16, faces=0, views=2, epochs=1, batch=8)
NONE = config(modules="none")
TRAINED, TABLE_2 = STUDIES[:2]


def made_seen(faces: Faces, views: int) -> Seen:
    """Latents of small maps that tell the class, and half of the people of another mind."""
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 4, (views, len(faces), 8, 12, 12)).astype(np.int8)
    values[:, np.arange(len(faces)), faces.labels] += 9
    judged = Judged.by_fer2013(faces)
    judged.targets[LabelSet.CROWD] = judged.targets[LabelSet.FER2013]
    judged.labels[LabelSet.CROWD] = np.where(np.arange(len(faces)) % 4, faces.labels, LEFT_OUT)
    return Seen(judged, Latents(values, np.full(8, 0.5, np.float32)))


TRAINING, MEASURED = made_seen(FACES, 2), made_seen(FACES, 1)


def test_variants_of_one_seed_start_alike() -> None:
    plain, both = Network(NONE, 1), Network(config(modules="asp+sfp"), 1)
    for part in ("decoder", "trunk"):
        mine, other = getattr(plain, part).state_dict(), getattr(both, part).state_dict()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    first = next(Network(NONE, 2).parameters())
    assert not torch.equal(first, next(plain.parameters()))


def test_a_run_can_be_made_again() -> None:
    runs = [train(NONE, TINY, seed, TRAINING, MEASURED, "run") for seed in (0, 0, 1)]
    assert (runs[0].right, runs[0].loss) == (runs[1].right, runs[1].loss)
    assert runs[2].loss != runs[0].loss
    assert {name: one.faces for name, one in runs[0].right.items()} == {"crowd": 18, "fer2013": 24}
    assert 1.2e6 < runs[0].parameters < 1.3e6


def test_a_run_learns_what_the_latents_tell() -> None:
    longer = dataclasses.replace(TINY, epochs=20, lr=0.01)
    run = train(NONE, longer, 0, TRAINING, MEASURED, "run")
    assert run.accuracy("fer2013") > 0.6
    assert run.accuracy("crowd") > 0.6


def test_every_variant_of_every_study_trains() -> None:
    for network in {variant.config: 0 for study in STUDIES for variant in study.variants}:
        tail = Network(network, 0)
        tail(torch.ones(2, 8, 28, 28)).sum().backward()
        assert all(p.grad is not None for p in tail.parameters())


def test_latents_are_those_that_the_product_sends(tmp_path: Path) -> None:
    weights = Weights(default_folder())
    faces = made_faces(3)
    plain = plain_latents(weights, faces, threads=1)
    z = weights.head(1).run(np.stack([enlarge_crop(one) for one in faces.pictures]))[1]
    sent = weights.quantiser.symbols(z, 1).astype(int) - 128
    assert (plain.values[0] == sent).all()
    assert plain.values.shape == (1, 3, 8, 28, 28)
    assert (plain.steps == weights.quantiser.steps(1)).all()


def test_views_are_made_once(tmp_path: Path) -> None:
    weights = Weights(default_folder())
    faces = made_faces(3)
    first = random_latents(weights, faces, 1, 0.5, tmp_path, threads=1)
    (file,) = tmp_path.iterdir()
    at = file.stat().st_mtime_ns
    both = random_latents(weights, faces, 2, 0.5, tmp_path, threads=1)
    assert file.stat().st_mtime_ns == at
    assert (both.values[0] == first.values[0]).all()
    assert (both.values[1] != both.values[0]).any()
    # Other faces, and another strength, are not answered by these.
    random_latents(weights, made_faces(3, first_id=9), 1, 0.5, tmp_path, threads=1)
    random_latents(weights, faces, 1, 0.7, tmp_path, threads=1)
    assert len(list(tmp_path.iterdir())) == 4


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    fixed = ["--results", str(folder / "runs.jsonl"), "--docs", str(folder), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["ablate", *arguments, *fixed])
    monkeypatch.setattr(ablate, "CACHE", folder / "cache")
    return ablate.main()


def data(folder: Path) -> list[str]:
    """Arguments that name a made-up data set and its votes."""
    parts = {"Training": made_faces(60), "PublicTest": made_faces(24, seed=3)}
    write_zip(folder / "small.zip", members(parts))
    names = [f"{usage}_{number}" for usage, faces in parts.items() for number in faces.ids]
    labels = [label for faces in parts.values() for label in faces.labels]
    counts = np.zeros((len(names), len(COLUMNS)), int)
    counts[np.arange(len(names)), labels] = 10
    write_votes(folder / "votes.csv", names, counts)
    return ["--data", str(folder / "small.zip"), "--votes", str(folder / "votes.csv")]


def test_the_command_makes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # All runs but one are there; that one is trained, and the report is written.
    fingerprint = Weights(default_folder()).manifest.fingerprint
    budget = Budget(fingerprint, faces=0, views=1, epochs=1, batch=8, lr=0.001)
    arguments = [*data(tmp_path), "--faces", "0", "--views", "1", "--epochs", "1", "--batch", "8",
                 "--lr", "0.001", "--seeds", "2"]  # fmt: skip
    real = train(NONE, budget, 0, TRAINING, MEASURED, "run")
    real = dataclasses.replace(real, right=dict.fromkeys(real.right, real.right["fer2013"]))
    for variant in TABLE_2.variants:
        for seed in (0, 1):
            if (variant.name, seed) != ("SFP", 1):
                one = dataclasses.replace(real, config=variant.config, seed=seed)
                append_run(tmp_path / "runs.jsonl", one)
    assert command(monkeypatch, tmp_path, *arguments) == 0
    printed = capsys.readouterr().out
    assert "13 of 14 runs are there" in printed
    assert "1/1 SFP, seed 1: crowd " in printed
    assert len(read_runs(tmp_path / "runs.jsonl")) == 14
    assert "## Table 2" in (tmp_path / "ablation.md").read_text()
    assert command(monkeypatch, tmp_path, *arguments) == 0
    assert "14 of 14 runs are there" in capsys.readouterr().out


def test_a_trained_tail_is_measured_as_it_is_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*data(tmp_path), "--trained", "--faces", "0", "--views", "1", "--batch", "8"]
    assert command(monkeypatch, tmp_path, *arguments, "--epochs", "0", "--seeds", "1") == 0
    assert "4/4 both answer, seed 0" in capsys.readouterr().out
    runs = read_runs(tmp_path / "runs.jsonl").values()
    assert {run.loss for run in runs} == {None}
    page = (tmp_path / "ablation.md").read_text()
    assert "all begin as the tail `paper`" in page
    assert "nothing is trained" in page
    # Of other runs, those that begin as it does not tell it.
    assert page.count("Not run.") == len(STUDIES) - 1


def test_faces_that_fill_no_batch_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*data(tmp_path), "--faces", "5", "--batch", "8"]
    assert command(monkeypatch, tmp_path, *arguments) == 3
    assert "5 faces to learn from are less than a batch of 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "none.zip"], 3, "no data set at none.zip"),
        (["--report"], 3, "no finished study"),
        (["--seeds", "0"], 2, "at least 1 seed"),
        (["--table", "4"], 2, "invalid choice"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        found = command(monkeypatch, tmp_path, *arguments)
    except SystemExit as end:
        found = int(end.code or 0)
    assert found == code
    assert message in capsys.readouterr().err.splitlines()[-1]
