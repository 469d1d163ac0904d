from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.unit.training.faces import made_faces, members, write_zip
from training.models.split_model import SplitConfig
from training.study import ablate
from training.study.ablate import Network, train
from training.study.ablation import STUDIES, Budget, append_run, read_runs

TINY = Budget(size=32, epochs=1, batch=8)
FACES = made_faces(24, seed=3)
NONE = SplitConfig(modules="none")


def test_variants_of_one_seed_start_alike() -> None:
    plain, both = Network(NONE, 1), Network(SplitConfig(modules="asp+sfp"), 1)
    for part in ("stem", "trunk"):
        mine, other = getattr(plain, part).state_dict(), getattr(both, part).state_dict()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    first = next(Network(NONE, 2).parameters())
    assert not torch.equal(first, next(plain.parameters()))


def test_a_run_can_be_made_again() -> None:
    runs = [train(NONE, TINY, seed, FACES, FACES, "run") for seed in (0, 0, 1)]
    assert (runs[0].accuracy, runs[0].loss) == (runs[1].accuracy, runs[1].loss)
    assert runs[2].loss != runs[0].loss
    assert runs[0].faces_measured == 24
    assert 1.2e6 < runs[0].parameters < 1.3e6


def test_every_variant_of_every_study_trains_at_the_smallest_size() -> None:
    for config in {variant.config: 0 for study in STUDIES for variant in study.variants}:
        network = Network(config, 0)
        network(torch.zeros(2, 1, 32, 32)).sum().backward()
        assert all(p.grad is not None for p in network.parameters())


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    fixed = ["--results", str(folder / "runs.jsonl"), "--docs", str(folder), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["ablate", *arguments, *fixed])
    return ablate.main()


def test_the_command_makes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_zip(tmp_path / "small.zip", members({"Training": FACES, "PublicTest": FACES}))
    # All runs but one are there; that one is trained, and the report is written.
    budget = Budget(size=32, epochs=1, batch=8, lr=0.001)
    real = train(NONE, budget, 0, FACES, FACES, "run")
    for variant in STUDIES[0].variants:
        for seed in (0, 1):
            if (variant.name, seed) != ("SFP", 1):
                values = vars(real) | {"config": variant.config, "seed": seed}
                append_run(tmp_path / "runs.jsonl", type(real)(**values))
    arguments = ["--data", str(tmp_path / "small.zip"), "--seeds", "2", "--size", "32",
                 "--batch", "8", "--lr", "0.001"]  # fmt: skip
    assert command(monkeypatch, tmp_path, *arguments) == 0
    printed = capsys.readouterr().out
    assert "11 of 12 runs are there" in printed
    assert "1/1 SFP, seed 1" in printed
    assert len(read_runs(tmp_path / "runs.jsonl")) == 12
    assert "## Table 2" in (tmp_path / "ablation.md").read_text()
    assert command(monkeypatch, tmp_path, *arguments) == 0
    assert "12 of 12 runs are there" in capsys.readouterr().out


def test_faces_that_fill_no_batch_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_zip(tmp_path / "small.zip", members({"Training": FACES, "PublicTest": FACES}))
    data = str(tmp_path / "small.zip")
    assert command(monkeypatch, tmp_path, "--data", data, "--faces", "5", "--batch", "8") == 3
    assert "5 faces to learn from are less than a batch of 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "none.zip"], 3, "no data set at none.zip"),
        (["--report"], 3, "no finished study"),
        (["--size", "16"], 2, "a budget needs 32 px"),
        (["--seeds", "1"], 2, "at least 2 seeds"),
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
