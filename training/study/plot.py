"""Draw a run's log: ``python -m training.study.plot --run NAME`` writes ``curve.png`` beside it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed
from matplotlib import pyplot as plt

from training.study.figure_file import save_figure

RUNS = Path("training/runs")
# One colour per tail, one line style per part of the data.
COLOURS = {
    "local": "tab:blue",
    "cloud": "tab:orange",
    "teacher": "tab:green",
    "teacher_crowd": "tab:green",
    "teacher_fer2013": "tab:olive",
    "crowd": "tab:blue",
    "fer2013": "tab:cyan",
    "local_crowd": "tab:blue",
    "cloud_crowd": "tab:orange",
    "local_fer2013": "tab:cyan",
    "cloud_fer2013": "tab:red",
}
STYLES = {"public_test": "-", "holdout": ":"}


def read_log(path: Path) -> list[dict[str, Any]]:
    """The epochs of a log in the order of the run.

    A run that was killed between its row and its checkpoint writes the row again: the last one
    counts. A line that a kill cut short is left out.

    Raises:
        ValueError: there is no epoch in it.
        OSError: it cannot be read.
    """
    epochs: dict[tuple[int, int], dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "epoch" in row:
            # A run of a classifier has one stage, and does not say so.
            epochs[row.setdefault("stage", 0), row["epoch"]] = row
    if not epochs:
        raise ValueError(f"{path} holds no epoch yet")
    return [epochs[place] for place in sorted(epochs)]


def draw(rows: list[dict[str, Any]], title: str, target: Path) -> None:
    """Loss and accuracy by epoch, stages marked, as a PNG."""
    x = range(1, len(rows) + 1)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(9, 7), sharex=True, height_ratios=(1, 2), layout="constrained"
    )
    top.plot(x, [row["loss"] for row in rows], color="tab:gray", marker=".")
    top.set_ylabel("training loss per tail")
    top.set_title(title)
    for part, style in STYLES.items():
        for tail, colour in COLOURS.items():
            points = [
                (at, 100 * row[part][tail])
                for at, row in zip(x, rows, strict=True)
                if tail in row.get(part, {})
            ]
            if points:
                label = f"{tail}, {part.replace('_', ' ')}: {points[-1][1]:.2f} %"
                bottom.plot(
                    *zip(*points, strict=True), style, color=colour, marker=".", label=label
                )
    bottom.set_ylabel("accuracy, %")
    bottom.set_xlabel("epoch")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    bottom.legend(loc="best", fontsize="small", ncols=2 if len(bottom.lines) > 4 else 1)
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    for index, row in enumerate(rows):
        if index == 0 or row["stage"] != rows[index - 1]["stage"]:
            for axes in (top, bottom):
                axes.axvline(index + 0.5, color="black", linewidth=0.8, alpha=0.4)
            size = f": {row['size']} px" if "size" in row else ""
            text = f"stage {row['stage'] + 1}{size}"
            # Upright: a stage may be two epochs wide.
            bottom.text(
                index + 0.6,
                0.35,
                text,
                transform=bottom.get_xaxis_transform(),
                rotation=90,
                va="bottom",
                fontsize=8,
            )
    save_figure(figure, target, dpi=120)
    plt.close(figure)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", default="base", help="name of the run")
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of all runs")
    arguments = parser.parse_args()
    folder = arguments.runs / arguments.run
    try:
        draw(read_log(folder / "log.jsonl"), arguments.run, folder / "curve.png")
    except OSError as error:
        print(f"plot: {error.filename}: {error.strerror}", file=sys.stderr)
        return 3
    except ValueError as error:
        print(f"plot: {error}", file=sys.stderr)
        return 3
    print(folder / "curve.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
