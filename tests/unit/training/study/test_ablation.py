from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from training.models.split_model import SplitConfig
from training.study.ablation import (
    RUNS,
    STUDIES,
    Budget,
    Right,
    Run,
    append_run,
    config,
    read_runs,
)
from training.study.ablation_report import of_study, report, write_report
from training.study.difference import Difference, difference, interval

TABLE_2 = STUDIES[1]
NONE, ASP = config(modules="none"), config(modules="asp")
BUDGET = Budget("81cd773e1d611c38")
FACES = 1000


def right(share: float, faces: int = FACES) -> dict[str, Right]:
    """Of both label sets: the first ``share`` of the faces are answered right."""
    one = Right.of(np.arange(faces) < round(share * faces))
    return {"crowd": one, "fer2013": one}


def run(config: SplitConfig, seed: int, accuracy: float, budget: Budget = BUDGET) -> Run:
    return Run(config, budget, seed, right(accuracy), 1.5, 1_260_000, 60.0, "2.13.0")


def write(path: Path, points: dict[str, list[float]]) -> Path:
    """A file of Table 2's runs: accuracies in per cent by variant, seed by seed."""
    configs = {v.name: v.config for v in TABLE_2.variants}
    for name, values in points.items():
        for seed, value in enumerate(values):
            append_run(path, run(configs[name], seed, value / 100))
    return path


SMALL = {
    "backbone only": [70.0, 72.0, 71.0],
    "ASP": [75.0, 77.1, 75.9],  # +5.0, +5.1, +4.9
    "SFP": [62.0, 64.1, 62.9],  # -8.0, -7.9, -8.1
    "ASP+SFP": [73.0, 70.0, 71.0],
    "SFP+ASP": [70.0, 72.0, 73.0],
    "SFP-ENERGY": [70.0, 72.2, 70.9],
    "SFP, periodization": [62.0, 64.1, 62.8],
}


def test_runs_come_back_and_count_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "runs.jsonl"
    first, again = run(NONE, 0, 0.4), run(NONE, 0, 0.5)
    other = run(NONE, 0, 0.3, Budget("81cd773e1d611c38", epochs=30))
    for one in (first, run(ASP, 1, 0.45), again, other):
        append_run(path, one)
    runs = read_runs(path)
    assert len(runs) == 3
    assert runs[first.key] == again
    assert runs[other.key] == other


def test_a_line_that_a_kill_cut_short_loses_that_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    append_run(path, run(NONE, 0, 0.4))
    with path.open("a") as file:
        file.write(run(NONE, 1, 0.4).line()[:50])
    assert len(read_runs(path)) == 1
    append_run(path, run(NONE, 2, 0.4))
    assert sorted(key[2] for key in read_runs(path)) == [0, 2]


def test_no_file_holds_no_runs(tmp_path: Path) -> None:
    assert read_runs(tmp_path / "none.jsonl") == {}


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"modules": "cbam"}},
        {"budget": {"weights": "w", "epochs": 0}},
        {"budget": {"weights": "w", "precision": "int4"}},
        {"seed2": 1},
    ],
)
def test_a_line_that_is_no_run_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(json.loads(run(NONE, 0, 0.4).line()) | change) + "\n")
    with pytest.raises(
        ValueError, match=r"modules are one of|needs 1 epoch|precision is one|no run"
    ):
        read_runs(path)


def test_studies_share_runs_and_keep_the_papers_figures() -> None:
    two, three, seven = ({variant.config for variant in study.variants} for study in STUDIES[1:])
    assert two & three == {NONE, ASP}
    assert two & seven == {NONE, config(modules="sfp")}
    for study in STUDIES:
        names = [v.name for v in study.variants]
        assert len(set(names)) == len({v.config for v in study.variants}) == len(names)
        assert study.variants[0].config == NONE
        assert all(name in names for pair in study.pairs for name in pair[:2])
    paper = {v.name: v.paper for v in TABLE_2.variants}
    assert paper["ASP+SFP"] == 63.26
    assert [v.name for v in TABLE_2.variants if v.paper is None] == [
        "SFP-ENERGY",
        "SFP, periodization",
    ]


def test_an_interval_holds_the_chance_of_seeds_and_of_faces() -> None:
    # Worked by hand: one face gained in both seeds, one in the first alone, two in neither. Seeds:
    # .5 and .25, variance .03125, over 2 .015625. Faces: 1, .5, 0, 0, .2292, over 4 .0573.
    points = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    variance, of_seeds, of_faces = 0.072917, 0.015625, 0.057292
    freedom = variance**2 / (of_seeds**2 / 1 + of_faces**2 / 3)
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    mean, low, high = interval(points, comparisons=1)
    assert (mean, high - mean, mean - low) == pytest.approx((0.375, half, half), rel=1e-4)
    # Ten comparisons: each at 99.5 %.
    wide = interval(points, comparisons=10)[2] - mean
    assert wide / half == pytest.approx(
        stats.t.ppf(0.9975, freedom) / stats.t.ppf(0.975, freedom), rel=1e-4
    )


def test_chance_alone_is_found_rarely() -> None:
    # 300 pairs of networks that are equally good: their interval leaves zero out in some 5 of 100.
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        first, second = rng.random((2, 5, 400)) < 0.8
        _, low, high = interval(first.astype(float) - second.astype(float), comparisons=1)
        missed += not low <= 0 <= high
    assert missed <= 24


def compared(path: Path, *pair: str, claimed: bool = True) -> Difference:
    runs = of_study(TABLE_2, BUDGET, read_runs(path).values())
    return difference(TABLE_2, runs, "crowd", (pair[0], pair[1], claimed))


def test_differences_are_taken_seed_by_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.jsonl", SMALL)
    found = compared(path, "ASP", "backbone only")
    assert found.mean == pytest.approx(5.0)
    assert found.paper == pytest.approx(1.63)
    assert found.verdict == "as in the paper"
    assert compared(path, "SFP", "backbone only").verdict == "contradicts the paper"
    assert compared(path, "ASP+SFP", "SFP+ASP").verdict == "undecided"
    assert compared(path, "SFP-ENERGY", "SFP", claimed=False).verdict == "better"


def test_seeds_of_one_side_alone_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", SMALL | {"ASP": [75.0, 77.1]})
    found = compared(path, "ASP", "backbone only")
    assert (found.seeds, found.mean) == (2, pytest.approx(5.05))


@given(arrays(np.bool_, st.integers(1, 70)))
def test_what_was_right_comes_back_as_it_was(bits: NDArray[np.bool_]) -> None:
    assert (Right.of(bits).array() == bits).all()


def test_the_report_says_what_the_runs_say(tmp_path: Path) -> None:
    results = write(tmp_path / "results" / "runs.jsonl", SMALL)
    page = write_report(results, tmp_path / "docs").read_text()
    asp = next(line for line in page.splitlines() if line.startswith("| ASP |"))
    assert asp.count("76.00 % ± 1.05 (3), +5.00 (+") == 2
    assert asp.endswith("| 61.88 % (+1.63) | as in the paper |")
    assert (
        "Of 5 differences that the paper reports, 1 are found here too, 1 are contradicted" in page
    )
    assert "Against the paper: SFP is worse than backbone only." in page
    assert "## Table 3: directions of ASP\n\nNot run." in page
    assert "](../results/table-2-0.png)" in page
    assert (tmp_path / "results/table-2-0.png").stat().st_size > 1000


def test_the_same_runs_give_the_same_report(tmp_path: Path) -> None:
    results = write(tmp_path / "runs.jsonl", SMALL)
    first = write_report(results, tmp_path).read_bytes(), _plot(tmp_path)
    assert (write_report(results, tmp_path).read_bytes(), _plot(tmp_path)) == first


def _plot(folder: Path) -> bytes:
    return (folder / "table-2-0.png").read_bytes()


def test_another_budget_is_another_section_with_its_command(tmp_path: Path) -> None:
    results = write(tmp_path / "runs.jsonl", SMALL)
    small = dataclasses.replace(BUDGET, faces=0, epochs=3)
    for one in list(read_runs(results).values()):
        append_run(results, dataclasses.replace(one, budget=small))
    page = write_report(results, tmp_path).read_text()
    assert page.count("## Table 2") == 2
    assert "--table 2 --faces 0 --epochs 3`: latents of 81cd773e1d611c38, all faces" in page


def test_half_a_study_is_not_reported(tmp_path: Path) -> None:
    results = write(tmp_path / "runs.jsonl", SMALL | {"ASP": [41.5]})
    with pytest.raises(ValueError, match="no finished study"):
        write_report(results, tmp_path)


@pytest.mark.skipif(
    not Path("docs/model/ablation.md").exists(), reason="no study has been finished"
)
def test_the_page_is_the_one_that_the_runs_give() -> None:
    assert Path("docs/model/ablation.md").read_text() == report(RUNS, Path("docs/model"))
