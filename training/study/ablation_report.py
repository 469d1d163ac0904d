"""``docs/model/ablation.md`` and its plots, from the finished runs alone: no figure is typed in."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed
from matplotlib import pyplot as plt

from splitfer.shared.whole_file import write_whole
from training.study.ablation import STUDIES, Budget, Run, Study, Variant, read_runs
from training.study.figure_file import save_figure

Runs = dict[str, dict[int, Run]]
# Two-sided 95 % of Student's t by degrees of freedom, from 1; the last also for more.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
AS_THERE, AGAINST, UNDECIDED = "as in the paper", "contradicts the paper", "within the spread"
_INTRODUCTION = """\
# Ablations

Paper 001 (Wu and Zhang, 2023) gives one figure a variant, after 100 epochs at 224 px, and no
spread. Here the networks are its own, without the bottleneck: Stem, the modules after Stage 2,
trunk, from random weights. The budget is far smaller, but several seeds say how much of a
difference is chance. Runs of one seed share the first stem and trunk, the order of the pictures
and the views, so differences are taken seed by seed (95 % interval by Student's t).

`python -m training.study.ablate --report` writes this page from
[`{runs}`]({link}); every figure is computed from its lines.
"""


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second`` in points, over the seeds that both have."""

    first: str
    second: str
    mean: float
    low: float
    high: float
    seeds: int
    paper: float | None
    claimed: bool

    @property
    def verdict(self) -> str:
        """What our interval says of the paper's claim that ``first`` is better."""
        if not self.claimed:
            return "better" if self.low > 0 else "worse" if self.high < 0 else UNDECIDED
        return AS_THERE if self.low > 0 else AGAINST if self.high < 0 else UNDECIDED


def write_report(results: Path, docs: Path) -> Path:
    """Write ``ablation.md`` into ``docs`` and the plots beside ``results``.

    Raises:
        ValueError: there is no finished study to report.
    """
    text = report(results, docs)
    for study, _, runs, picture in _sections(results):
        draw(study, runs, picture)
    docs.mkdir(parents=True, exist_ok=True)
    page = docs / "ablation.md"
    write_whole(page, text.encode())
    return page


def report(results: Path, docs: Path) -> str:
    """The page, with links as seen from ``docs``.

    Raises:
        ValueError: there is no finished study to report.
    """
    sections = list(_sections(results))
    if not sections:
        raise ValueError(f"{results} holds no finished study yet")
    parts = [_INTRODUCTION.format(runs=results.as_posix(), link=_link(results, docs))]
    for study in STUDIES:
        of_it = [s for s in sections if s[0] is study]
        parts += [section(s, budget, runs, _link(at, docs)) for s, budget, runs, at in of_it]
        if not of_it:
            parts.append(
                f"## {study.title}\n\nNot run. `python -m training.study.ablate --data fer2013.zip "
                f"{study.flag}` runs it.\n"
            )
    return "\n".join(parts)


def _sections(results: Path) -> Iterator[tuple[Study, Budget, Runs, Path]]:
    """What is finished: each study at each budget, with the place of its plot."""
    runs = read_runs(results).values()
    for study in STUDIES:
        for number, budget in enumerate(dict.fromkeys(run.budget for run in runs)):
            found = of_study(study, budget, runs)
            # One seed shows no spread.
            if len(set.intersection(*(set(by_seed) for by_seed in found.values()))) >= 2:
                name = f"{study.flag[2:].replace(' ', '-')}-{number}.png"
                yield study, budget, found, results.parent / name


def _link(target: Path, docs: Path) -> str:
    return Path(os.path.relpath(target, docs)).as_posix()


def of_study(study: Study, budget: Budget, runs: Iterable[Run]) -> Runs:
    """Runs by variant's name and seed, of one budget."""
    by_config = {variant.config: variant.name for variant in study.variants}
    found: Runs = {variant.name: {} for variant in study.variants}
    for run in runs:
        if run.budget == budget and run.config in by_config:
            found[by_config[run.config]][run.seed] = run
    return found


def difference(study: Study, runs: Runs, first: str, second: str, claimed: bool) -> Difference:
    """One comparison, paired by seed. At least two seeds are needed."""
    seeds = sorted(runs[first].keys() & runs[second].keys())
    points = [100 * (runs[first][s].accuracy - runs[second][s].accuracy) for s in seeds]
    mean = statistics.fmean(points)
    t = _STUDENT[min(len(points) - 1, len(_STUDENT)) - 1]
    half = t * statistics.stdev(points) / len(points) ** 0.5
    papers = {variant.name: variant.paper for variant in study.variants}
    one, other = papers[first], papers[second]
    paper = None if one is None or other is None else one - other
    return Difference(first, second, mean, mean - half, mean + half, len(seeds), paper, claimed)


def from_baseline(study: Study, runs: Runs) -> list[Difference]:
    """Each variant against the first. Those that the paper has a figure of are better there."""
    first, *rest = study.variants
    return [difference(study, runs, v.name, first.name, v.paper is not None) for v in rest]


def section(study: Study, budget: Budget, runs: Runs, picture: str) -> str:
    """One study at one budget, as Markdown."""
    rows = from_baseline(study, runs)
    pairs = [difference(study, runs, *pair) for pair in study.pairs]
    base, *others = study.variants
    lines = [
        ["", "accuracy", "from backbone only, points", "95 % interval", "paper", "verdict"],
        ["---"] * 6,
        [base.name, _accuracy(base, runs), "", "", _paper(base.paper), ""],
    ]
    lines += [
        [
            variant.name,
            _accuracy(variant, runs),
            f"{row.mean:+.2f}",
            f"{row.low:+.2f} to {row.high:+.2f}",
            _paper(variant.paper, row.paper),
            row.verdict,
        ]
        for variant, row in zip(others, rows, strict=True)
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    compared = "\n".join(f"- {_sentence(pair)}" for pair in pairs)
    return (
        f"## {study.title}\n\n{_budget(study, budget, runs)}\n\n{table}\n\n"
        f"![{study.title}]({picture})\n\n{compared}\n\n"
        f"{_conclusion(study, runs, rows + pairs)}\n"
    )


def _accuracy(variant: Variant, runs: Runs) -> str:
    values = [100 * run.accuracy for run in runs[variant.name].values()]
    return f"{statistics.fmean(values):.2f} % ± {statistics.stdev(values):.2f} ({len(values)})"


def _paper(accuracy: float | None, points: float | None = None) -> str:
    if accuracy is None:
        return ""
    return f"{accuracy:.2f} %" + (f" ({points:+.2f})" if points is not None else "")


def _budget(study: Study, budget: Budget, runs: Runs) -> str:
    flags = "".join(
        f" --{f.name} {getattr(budget, f.name)}"
        for f in fields(Budget)
        if getattr(budget, f.name) != f.default
    )
    made = [run for by_seed in runs.values() for run in by_seed.values()]
    faces = f"{budget.faces:,} faces" if budget.faces else "all"
    return (
        f"`python -m training.study.ablate --data fer2013.zip {study.flag}{flags}`: "
        f"{budget.size} px, {faces} of Training, {budget.epochs} epoch{'s' * (budget.epochs > 1)}, "
        f"batch {budget.batch}; accuracy on PublicTest "
        f"({made[0].faces_measured:,} faces, single view), "
        f"mean ± sd over seeds (their number). {len(made)} runs, "
        f"{sum(run.cpu_s for run in made) / 60:.0f} minutes of processor time."
    )


def _sentence(pair: Difference) -> str:
    paper = f"; the paper {pair.paper:+.2f}" if pair.paper is not None else ""
    return (
        f"{pair.first} against {pair.second}: {pair.mean:+.2f} points "
        f"({pair.low:+.2f} to {pair.high:+.2f}){paper}: {pair.verdict}."
    )


def _conclusion(study: Study, runs: Runs, rows: list[Difference]) -> str:
    claims = [row for row in rows if row.claimed]
    verdicts = [row.verdict for row in claims]
    half = statistics.fmean((row.high - row.low) / 2 for row in rows)
    sd = statistics.fmean(
        statistics.stdev(100 * run.accuracy for run in by_seed.values())
        for by_seed in runs.values()
    )
    base = study.variants[0]
    mean = statistics.fmean(100 * run.accuracy for run in runs[base.name].values())
    text = (
        f"Of {len(claims)} differences that the paper reports, {verdicts.count(AS_THERE)} are "
        f"found here too, {verdicts.count(AGAINST)} are contradicted, and "
        f"{verdicts.count(UNDECIDED)} lie within the spread, which decides nothing. One network "
        f"varies by {sd:.2f} points (sd) over seeds and the intervals reach {half:.2f} points to "
        f"each side on average: a smaller difference cannot be told at this budget. The backbone "
        f"alone reaches {mean:.2f} % here and {base.paper:.2f} % in the paper: this says how the "
        f"variants start, not where longer training ends."
    )
    against = [f"{r.first} is worse than {r.second}" for r in claims if r.verdict == AGAINST]
    return text + (f" Against the paper: {'; '.join(against)}." if against else "")


def draw(study: Study, runs: Runs, target: Path) -> None:
    """Differences from the first variant: ours with interval and seeds, the paper's beside."""
    rows = from_baseline(study, runs)
    base = runs[study.variants[0].name]
    figure, axes = plt.subplots(figsize=(8, 1.3 + 0.42 * len(rows)), layout="constrained")
    for y, row in enumerate(rows):
        first = y == 0
        seeds = runs[row.first].keys() & base.keys()
        points = [100 * (runs[row.first][s].accuracy - base[s].accuracy) for s in seeds]
        axes.plot(
            [row.low, row.high],
            [y, y],
            color="tab:blue",
            linewidth=2,
            label="95 % interval" if first else None,
        )
        axes.plot(
            points,
            [y] * len(points),
            "o",
            color="tab:blue",
            markersize=4,
            alpha=0.5,
            label="one seed" if first else None,
        )
        axes.plot(
            row.mean,
            y,
            "|",
            color="tab:blue",
            markersize=16,
            markeredgewidth=2,
            label="mean here" if first else None,
        )
    papers = [(row.paper, y) for y, row in enumerate(rows) if row.paper is not None]
    axes.plot(*zip(*papers, strict=True), "D", color="tab:orange", label="paper 001")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.first for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy minus that of the backbone only, points")
    axes.set_title(study.title)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    # No date or version inside: the same runs give the same bytes.
    save_figure(figure, target, dpi=100, reproducible=True)
    plt.close(figure)
