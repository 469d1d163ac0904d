"""``docs/model/ablation.md`` and its plots, from the finished runs alone: no figure is typed in."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed
from matplotlib import pyplot as plt

from splitfer.shared.labels import LabelSet
from splitfer.shared.whole_file import write_whole
from training.study.ablation import (
    NOT_ASKED,
    STUDIES,
    Budget,
    Run,
    Study,
    Variant,
    read_runs,
)
from training.study.difference import (
    AGAINST,
    AS_THERE,
    UNDECIDED,
    Difference,
    Runs,
    difference,
    from_baseline,
)
from training.study.figure_file import save_figure

# What a study concludes goes by what people see; the paper's own label stands beside it.
JUDGE, PAPERS_LABEL = LabelSet.CROWD.value, LabelSet.FER2013.value
_NAMES = {JUDGE: "people's label", PAPERS_LABEL: "FER2013's label"}
_INTRODUCTION = """\
# Ablations

Paper 001 (Wu and Zhang, 2023) gives one figure a variant, after 100 epochs at 224 px, and no
spread. Here its cloud tail (decoder, modules, ShuffleNetV2's Stages 3 and 4) is trained from random
weights on latents `8x28x28` of many views, which the product's head made: maps are as large as in
the paper. Runs of one seed share what all variants have at first, the order of the faces and the
views, and all answer the same faces of PublicTest.

A difference is a mean over seeds, of faces that one variant gets right and the other does not. Its
interval holds both chances, that of the seed and that of the faces there are to be measured on (the
sum of both variances, Student's t with Welch's degrees of freedom), and is widened for the number
of comparisons of a table (Bonferroni): all of a table hold together in 95 of 100 repetitions.

`python -m training.study.ablate --report` writes this page from
[`{runs}`]({link}); every figure is computed from its lines.
"""


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
                f"--votes ferplus.csv {study.flag}` runs it.\n"
            )
    return "\n".join(parts)


def _sections(results: Path) -> Iterator[tuple[Study, Budget, Runs, Path]]:
    """What is finished: each study at each budget, with the place of its plot."""
    runs = read_runs(results).values()
    for study in STUDIES:
        budgets = dict.fromkeys(run.budget for run in runs if run.budget.start == study.start)
        for number, budget in enumerate(budgets):
            found = of_study(study, budget, runs)
            shared = set.intersection(*(set(by_seed) for by_seed in found.values()))
            if len(shared) >= budget.seeds:
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


def section(study: Study, budget: Budget, runs: Runs, picture: str) -> str:
    """One study at one budget, as Markdown."""
    rows = {name: from_baseline(study, runs, name) for name in _NAMES}
    pairs = [difference(study, runs, JUDGE, pair) for pair in study.pairs]
    base, *others = study.variants
    lines = [
        ["", *(f"{name}, from {base.name}" for name in _NAMES.values()), "paper", "verdict"],
        ["---"] * 5,
        [base.name, *(_accuracy(base, runs, name) for name in _NAMES), _paper(base.paper), ""],
    ]
    for at, variant in enumerate(others):
        row = rows[JUDGE][at]
        ours = [f"{_accuracy(variant, runs, name)}, {_points(rows[name][at])}" for name in _NAMES]
        lines.append([variant.name, *ours, _paper(variant.paper, row.paper), row.verdict])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    compared = "\n".join(f"- {_sentence(pair)}" for pair in pairs)
    return (
        f"## {study.title}\n\n{_budget(study, budget, runs)}\n\n{table}\n\n"
        f"![{study.title}]({picture})\n\nBy {_NAMES[JUDGE]}:\n\n{compared}\n\n"
        f"{_conclusion(study, runs, rows[JUDGE] + pairs)}\n"
    )


def _shares(variant: Variant, runs: Runs, label_set: str) -> list[float]:
    return [100 * run.accuracy(label_set) for run in runs[variant.name].values()]


def _accuracy(variant: Variant, runs: Runs, label_set: str) -> str:
    shares = _shares(variant, runs, label_set)
    spread = f" ± {statistics.stdev(shares):.2f} ({len(shares)})" if len(shares) > 1 else ""
    return f"{statistics.fmean(shares):.2f} %{spread}"


def _points(row: Difference) -> str:
    return f"{row.mean:+.2f} ({row.low:+.2f} to {row.high:+.2f})"


def _paper(accuracy: float | None, points: float | None = None) -> str:
    if accuracy is None:
        return ""
    return f"{accuracy:.2f} %" + (f" ({points:+.2f})" if points is not None else "")


def _budget(study: Study, budget: Budget, runs: Runs) -> str:
    flags = "".join(
        f" --{f.name} {getattr(budget, f.name)}"
        for f in fields(Budget)
        if f.name not in NOT_ASKED and getattr(budget, f.name) != f.default
    )
    made = [run for by_seed in runs.values() for run in by_seed.values()]
    counted = ", ".join(f"{made[0].right[key].faces:,} by {name}" for key, name in _NAMES.items())
    faces = f"{budget.faces:,} faces" if budget.faces else "all faces"
    begun = f"all begin as the tail `{budget.start}` of {budget.weights}" if budget.start else ""
    learnt = (
        f"latents of {budget.weights}, {faces} of Training, {budget.views} views of each, "
        f"{budget.epochs} epoch{'s' * (budget.epochs > 1)}, batch {budget.batch}, "
        f"{budget.precision}"
    )
    told = "; ".join(
        [one for one in (begun, learnt if budget.epochs else "nothing is trained") if one]
    )
    spread = ", mean ± sd over seeds (their number)" if budget.epochs else ""
    return (
        f"`python -m training.study.ablate --data fer2013.zip --votes ferplus.csv "
        f"{study.flag}{flags}`: {told}. Accuracy on PublicTest (faces: {counted}; single view)"
        f"{spread}, and points from the first row with their interval. {len(made)} runs, "
        f"{sum(run.cpu_s for run in made) / 3600:.1f} hours of processor time."
    )


def _sentence(pair: Difference) -> str:
    paper = f"; the paper {pair.paper:+.2f}" if pair.paper is not None else ""
    return f"{pair.first} against {pair.second}: {_points(pair)} points{paper}: {pair.verdict}."


def _conclusion(study: Study, runs: Runs, rows: list[Difference]) -> str:
    claims = [row for row in rows if row.claimed]
    verdicts = [row.verdict for row in claims]
    half = statistics.fmean((row.high - row.low) / 2 for row in rows)
    reach = f"The intervals reach {half:.2f} points to each side on average"
    if not claims:
        found = [row for row in rows if row.low > 0 or row.high < 0]
        told = "; ".join(f"{r.first} is {r.verdict} than {r.second}" for r in found)
        return f"{reach}. {told if found else 'No difference is found'}."
    least = min(row.paper for row in claims if row.paper is not None)
    text = (
        f"Of {len(claims)} differences that the paper reports, {verdicts.count(AS_THERE)} are "
        f"found here too, {verdicts.count(AGAINST)} are contradicted, and "
        f"{verdicts.count(UNDECIDED)} stay undecided. {reach}; the least difference that the "
        f"paper reports is {least:+.2f}."
    )
    against = [f"{r.first} is worse than {r.second}" for r in claims if r.verdict == AGAINST]
    return text + (f" Against the paper: {'; '.join(against)}." if against else "")


def draw(study: Study, runs: Runs, target: Path) -> None:
    """Differences from the first variant: ours with interval and seeds, the paper's beside."""
    rows = from_baseline(study, runs, JUDGE)
    base = runs[study.variants[0].name]
    figure, axes = plt.subplots(figsize=(8, 1.3 + 0.42 * len(rows)), layout="constrained")
    for y, row in enumerate(rows):
        first = y == 0
        seeds = runs[row.first].keys() & base.keys()
        points = [
            100 * (runs[row.first][s].accuracy(JUDGE) - base[s].accuracy(JUDGE)) for s in seeds
        ]
        axes.plot(
            [row.low, row.high],
            [y, y],
            color="tab:blue",
            linewidth=2,
            label="interval" if first else None,
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
    if papers:
        axes.plot(*zip(*papers, strict=True), "D", color="tab:orange", label="paper 001")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.first for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"accuracy by people's label minus that of {study.variants[0].name}, points")
    axes.set_title(study.title)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    # No date or version inside: the same runs give the same bytes.
    save_figure(figure, target, dpi=100, reproducible=True)
    plt.close(figure)
