"""The figures of ``benchmarks.degraded``, as PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


def draw(result: Row, target: Path) -> None:
    """Of each degradation a line: accuracy of every path, filled, and how sure it was, hollow; a
    panel a label set."""
    figure, panels = _panels(1, len(result["label_sets"]), 6.2, 6.5)
    for axes, (label_set, paths) in zip(panels, result["label_sets"].items(), strict=True):
        for place, (path, by_kind) in enumerate(paths.items()):
            y = np.arange(len(by_kind)) + 0.2 * (place - (len(paths) - 1) / 2)
            accuracy, confidence = (
                np.array([100 * row[key] for row in by_kind.values()])
                for key in ("accuracy", "confidence_mean")
            )
            colour = f"C{place}"
            axes.hlines(y, accuracy, confidence, color=colour, linewidth=1, alpha=0.5)
            axes.plot(accuracy, y, "o", color=colour, markersize=5, label=f"{path}: right")
            axes.plot(
                confidence,
                y,
                "o",
                color=colour,
                markersize=5,
                markerfacecolor="white",
                label=f"{path}: how sure",
            )
            theirs = result.get("against", {}).get("label_sets", {}).get(label_set, {}).get(path)
            if theirs:
                axes.plot(
                    [100 * row["accuracy"] for row in theirs.values()],
                    y,
                    "|",
                    color=colour,
                    markersize=9,
                    label=f"{path}: {result['against']['fingerprint']}",
                )
        axes.set_yticks(range(len(by_kind)), list(by_kind))
        axes.invert_yaxis()
        axes.set(
            xlim=(0, 100),
            xlabel="%",
            title=f"{result['usage']}, labels of {label_set}, {result['fingerprint']}",
        )
        axes.grid(alpha=0.3, axis="x")
        axes.legend(fontsize=8, loc="lower left")
    _save(figure, target)


# Pictures in a band, of fewer of which a share says nothing.
_ENOUGH = 50


def draw_bands(result: Row, target: Path) -> None:
    """Of each label set: accuracy and confidence, fallen with quality, by band of quality, and
    beside it accuracy over the surest answers, by either confidence."""
    label_sets = result["bands"]["label_sets"]
    figure, panels = _panels(len(label_sets), 2, 5.2, 4.2)
    for row, (label_set, paths) in enumerate(label_sets.items()):
        left, right = panels[2 * row : 2 * row + 2]
        for place, (path, found) in enumerate(paths.items()):
            colour = f"C{place}"
            bands = [band for band in found["bands"] if band["n"] >= _ENOUGH]
            middle = [(band["from"] + band["to"]) / 2 for band in bands]
            left.plot(
                middle,
                [100 * band["accuracy"] for band in bands],
                "o-",
                color=colour,
                label=f"{path}: right",
            )
            left.plot(
                middle,
                [100 * band["fallen_mean"] for band in bands],
                "o--",
                color=colour,
                markerfacecolor="white",
                label=f"{path}: how sure",
            )
            for (name, curve), line in zip(found["coverage"].items(), ("--", "-"), strict=True):
                right.plot(
                    [100 * one["coverage"] for one in curve],
                    [100 * one["accuracy"] for one in curve],
                    line,
                    color=colour,
                    label=f"{path}: {name}",
                )
        left.set(
            xlabel="quality of the picture",
            ylabel="%",
            xlim=(0, 1),
            ylim=(0, 100),
            title=f"labels of {label_set}",
        )
        right.set(
            xlabel="answers that are not uncertain, the surest first, %",
            ylabel="accuracy over them, %",
            title=f"{result['usage']}, pictures of every kind together",
        )
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
    _save(figure, target)


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure and its axes, row by row; ``width`` and ``height`` are of one, in inches."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        layout="constrained",
        squeeze=False,
    )
    return figure, list(panels.flat)


def _save(figure: Any, target: Path) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(target, dpi=110)
    plt.close(figure)
