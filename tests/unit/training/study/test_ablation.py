from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from training.models.split_model import SplitConfig
from training.study.ablation import RUNS, STUDIES, Budget, Run, append_run, read_runs
from training.study.ablation_report import difference, of_study, report, write_report

TABLE_2 = STUDIES[0]
NONE, ASP = SplitConfig(modules="none"), SplitConfig(modules="asp")


def run(config: SplitConfig, seed: int, accuracy: float, budget: Budget | None = None) -> Run:
    return Run(config, budget or Budget(), seed, accuracy, 3589, 1.5, 1_260_000, 60.0, "2.13.0")


def write(path: Path, points: dict[str, list[float]]) -> Path:
    """A file of Table 2's runs: accuracies in per cent by variant, seed by seed."""
    configs = {v.name: v.config for v in TABLE_2.variants}
    for name, values in points.items():
        for seed, value in enumerate(values):
            append_run(path, run(configs[name], seed, value / 100))
    return path


SMALL = {
    "backbone only": [40.0, 42.0, 41.0],
    "ASP": [41.5, 43.6, 42.4],  # +1.5, +1.6, +1.4
    "SFP": [38.0, 40.1, 38.9],  # -2.0, -1.9, -2.1
    "ASP+SFP": [43.0, 40.0, 41.0],
    "SFP+ASP": [40.0, 42.0, 43.0],
    "SFP-ENERGY": [40.0, 42.2, 40.9],
}


def test_runs_come_back_and_count_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "runs.jsonl"
    first, again = run(NONE, 0, 0.4), run(NONE, 0, 0.5)
    other = run(NONE, 0, 0.3, Budget(size=96))
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
    "change", [{"config": {"modules": "cbam"}}, {"budget": {"epochs": 0}}, {"seed2": 1}]
)
def test_a_line_that_is_no_run_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(json.loads(run(NONE, 0, 0.4).line()) | change) + "\n")
    with pytest.raises(ValueError, match=r"modules are one of|needs 32 px|no run"):
        read_runs(path)


def test_studies_share_runs_and_keep_the_papers_figures() -> None:
    two, three, seven = ({variant.config for variant in study.variants} for study in STUDIES)
    assert two & three == {NONE, ASP}
    assert two & seven == {NONE, SplitConfig(modules="sfp")}
    for study in STUDIES:
        names = [v.name for v in study.variants]
        assert len(set(names)) == len({v.config for v in study.variants}) == len(names)
        assert study.variants[0].config == NONE
        assert all(name in names for pair in study.pairs for name in pair[:2])
    paper = {v.name: v.paper for v in TABLE_2.variants}
    assert paper["ASP+SFP"] == 63.26
    assert [v.name for v in TABLE_2.variants if v.paper is None] == ["SFP-ENERGY"]


def test_differences_are_taken_seed_by_seed(tmp_path: Path) -> None:
    runs = of_study(TABLE_2, Budget(), read_runs(write(tmp_path / "runs.jsonl", SMALL)).values())
    found = difference(TABLE_2, runs, "ASP", "backbone only", True)
    # Worked by hand: mean 1.5, sd 0.1, Student's t of two degrees 4.303.
    assert found.mean == pytest.approx(1.5)
    assert found.high - found.mean == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert found.paper == pytest.approx(1.63)
    assert found.verdict == "as in the paper"
    assert (
        difference(TABLE_2, runs, "SFP", "backbone only", True).verdict == "contradicts the paper"
    )
    assert difference(TABLE_2, runs, "ASP+SFP", "SFP+ASP", True).verdict == "within the spread"
    assert difference(TABLE_2, runs, "SFP-ENERGY", "SFP", False).verdict == "better"


def test_seeds_of_one_side_alone_do_not_count(tmp_path: Path) -> None:
    points = SMALL | {"ASP": [41.5, 43.6]}
    runs = of_study(TABLE_2, Budget(), read_runs(write(tmp_path / "r.jsonl", points)).values())
    found = difference(TABLE_2, runs, "ASP", "backbone only", True)
    assert (found.seeds, found.mean) == (2, pytest.approx(1.55))


def test_the_report_says_what_the_runs_say(tmp_path: Path) -> None:
    results = write(tmp_path / "results" / "runs.jsonl", SMALL)
    page = write_report(results, tmp_path / "docs").read_text()
    assert "| ASP | 42.50 % ± 1.05 (3) | +1.50 | +1.25 to +1.75 | 61.88 % (+1.63) | as in" in page
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
    small = Budget(size=96, epochs=3)
    for one in list(read_runs(results).values()):
        append_run(results, dataclasses.replace(one, budget=small))
    page = write_report(results, tmp_path).read_text()
    assert page.count("## Table 2") == 2
    assert "--table 2 --size 96 --epochs 3`: 96 px, all of Training, 3 epochs" in page


def test_half_a_study_is_not_reported(tmp_path: Path) -> None:
    results = write(tmp_path / "runs.jsonl", SMALL | {"ASP": [41.5]})
    with pytest.raises(ValueError, match="no finished study"):
        write_report(results, tmp_path)


@pytest.mark.skipif(
    not Path("docs/model/ablation.md").exists(), reason="no study has been finished"
)
def test_the_page_is_the_one_that_the_runs_give() -> None:
    assert Path("docs/model/ablation.md").read_text() == report(RUNS, Path("docs/model"))
