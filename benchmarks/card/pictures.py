"""The card's pictures. The same figures give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen is needed
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks.accuracy.calibration import draw as draw_calibration
from benchmarks.card.confusion import ROWS, Confusion
from benchmarks.card.measurement import DETAILED
from splitfer.shared.labels import LABELS
from training.study.figure_file import save_figure

Row = dict[str, Any]
COLOURS = {"local": "tab:blue", "cloud": "tab:orange"}


def draw(card: Row, docs: Path) -> None:
    """``model-card-confusion.png``, ``-slices.png`` and ``-calibration.png`` in ``docs``."""
    docs.mkdir(parents=True, exist_ok=True)
    draw_confusion(card, docs / "model-card-confusion.png")
    draw_slices(card, docs / "model-card-slices.png")
    # In this order the curves get the colours that the paths have elsewhere.
    told = {name: card["calibration"][name] for name in COLOURS}
    draw_calibration(told, docs / "model-card-calibration.png")


def draw_confusion(card: Row, target: Path) -> None:
    """One matrix a path: shares of a label's faces, in per cent."""
    figure, panels = plt.subplots(1, len(DETAILED), figsize=(12, 6), layout="constrained")
    for axes, path in zip(panels, DETAILED, strict=True):
        shares = 100 * Confusion(np.array(card["confusion"][path])).shares
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(LABELS)), LABELS, rotation=40, ha="right")
        axes.set_yticks(range(len(shares)), ROWS[: len(shares)])
        axes.set(xlabel="answer", ylabel="label", title=f"{path}: % of a label's faces")
    _save(figure, target)


def draw_slices(card: Row, target: Path) -> None:
    """Accuracy with its interval by slice, a mark a path."""
    rows = card["slices"]
    height = 1.2 + 0.3 * len(rows)
    figure, axes = plt.subplots(figsize=(9, height), layout="constrained")
    for shift, path in ((-0.14, "cloud"), (0.14, "local")):
        colour = COLOURS[path]
        overall = Confusion(np.array(card["confusion"][path])).accuracy
        axes.axvline(100 * overall, color=colour, linewidth=0.8, alpha=0.6)
        for at, row in enumerate(rows):
            low, high = (100 * end for end in row[path]["interval_95"])
            axes.plot([low, high], [at + shift] * 2, color=colour)
            label = f"{path} (line: all faces)" if at == 0 else None
            axes.plot(100 * row[path]["accuracy"], at + shift, "o", color=colour, label=label)
    names = [f"{row['by']}: {row['name']}, n {row['n']:,}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy, % (95 % interval)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2)
    _save(figure, target)


def _save(figure: Figure, target: Path) -> None:
    save_figure(figure, target, dpi=90, reproducible=True)
    plt.close(figure)
