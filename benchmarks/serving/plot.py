"""The figure of ``benchmarks.serving``: goodput and p99 against the load.

Medians of the rounds; a bar reaches from the least of them to the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from training.study.figure_file import save_figure

Row = dict[str, Any]
STYLES = {
    ("splitfer", "stream", 1): ("#08519c", "-"),
    ("splitfer", "stream", 4): ("#08519c", "--"),
    ("splitfer", "unary", 1): ("#6baed6", "-"),
    ("splitfer", "unary", 4): ("#6baed6", "--"),
    ("litserve", "http", 1): ("#d62728", "-"),
    ("ray-serve", "http", 1): ("#ff7f0e", "-"),
}
_SHOWN = ("sweep", "overload 2x")


def plot(result: dict[str, Any], file: Path) -> None:
    """Left: faces answered in time; right: p99 of the answers, on a logarithmic axis."""
    figure, (goodput, tails) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for key, (colour, style) in STYLES.items():
        loads: dict[Any, list[Row]] = {}
        for row in result["rows"]:
            if (row["server"], row["protocol"], row["faces"]) == key and row["what"] in _SHOWN:
                loads.setdefault((row["what"], row["load"]), []).append(row)
        name = f"{key[0]}, {key[1]}, {key[2]} a call"
        line = {
            "color": colour,
            "linestyle": style,
            "marker": "o",
            "markersize": 3,
            "elinewidth": 0.6,
            "capsize": 1.5,
        }
        _line(goodput, loads.values(), lambda row: row["faces_in_time_per_s"], label=name, **line)
        answered = [[row for row in rows if row["answered_ms"]] for rows in loads.values()]
        _line(tails, filter(None, answered), lambda row: row["answered_ms"]["p99"], **line)
    goodput.axhline(result["raw"]["faces_per_s"], color="#999999", linewidth=1)
    goodput.set_ylabel(f"faces/s answered within {result['plan']['deadline_ms']:g} ms")
    tails.set_ylabel("p99 of the answers, ms")
    tails.set_yscale("log")
    for axis in (goodput, tails):
        axis.set_xlabel("faces/s asked")
        axis.set_ylim(bottom=None if axis is tails else 0)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    save_figure(figure, file, dpi=130)
    plt.close(figure)


def _line(axis: Any, loads: Iterable[list[Row]], of: Callable[[Row], float], **style: Any) -> None:
    points = []
    for rows in loads:
        values = [of(row) for row in rows]
        middle = median(values)
        asked = median(row["faces_per_s"] for row in rows)
        points.append((asked, middle, middle - min(values), max(values) - middle))
    if points:
        x, y, below, above = zip(*sorted(points), strict=True)
        axis.errorbar(x, y, (below, above), **style)
