"""Accuracy of the models of a device against time, bytes and parameters, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.study.figure_file import save_figure

AXES = {
    "cpu_ms": "one face on one core, ms",
    "file_bytes": "file, kB",
    "parameters": "parameters, M",
}
SCALES = {"cpu_ms": 1.0, "file_bytes": 1e3, "parameters": 1e6}
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple")
MARKERS = {
    "float32": "o",
    "float16 stored": "s",
    "float16": "D",
    "int8 weights": "^",
    "int8": "v",
}


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points ``(cost, accuracy)`` that no other beats in both, by cost."""
    best, kept = float("-inf"), []
    for index in sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1])):
        if points[index][1] > best:
            best = points[index][1]
            kept.append(index)
    return kept


def draw(rows: Sequence[dict[str, Any]], label_set: str, target: Path) -> None:
    """``rows`` with ``model``, ``form``, ``accuracy`` (a fraction), ``cpu_ms``, ``file_bytes`` and
    ``parameters``, as a PNG of three panels."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), sharey=True, layout="constrained")
    for axes, (key, name) in zip(panels, AXES.items(), strict=True):
        points = [(row[key] / SCALES[key], 100 * row["accuracy"]) for row in rows]
        for row, (x, y) in zip(rows, points, strict=True):
            colour = COLOURS[models.index(row["model"]) % len(COLOURS)]
            axes.plot(x, y, MARKERS.get(row["form"], "o"), color=colour, markersize=8)
        chosen = [points[index] for index in front(points)]
        axes.step(*zip(*chosen, strict=True), where="post", color="0.3", lw=1, ls="--", zorder=0)
        axes.plot(*zip(*chosen, strict=True), "o", mfc="none", mec="black", markersize=14, zorder=0)
        axes.set_xlabel(name)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel(f"accuracy on PublicTest ({label_set}), %")
    handles = [
        Line2D([], [], ls="", marker="o", color=COLOURS[place % len(COLOURS)], label=model)
        for place, model in enumerate(models)
    ]
    handles += [
        Line2D([], [], ls="", marker=MARKERS[form], color="0.4", label=form)
        for form in dict.fromkeys(row["form"] for row in rows)
    ]
    handles.append(
        Line2D(
            [],
            [],
            ls="--",
            marker="o",
            mfc="none",
            mec="black",
            color="0.3",
            markersize=12,
            label="Pareto front",
        )
    )
    figure.legend(handles=handles, fontsize="small", loc="outside lower center", ncols=len(handles))
    save_figure(figure, target, dpi=110, reproducible=True)
    plt.close(figure)
