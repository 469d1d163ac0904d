"""The figure of ``benchmarks.link``: latency against bandwidth, a line per strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from training.study.figure_file import save_figure

STYLES = {
    "full": ("#555555", "-"),
    "local": ("#999999", "-"),
    "image": ("#d62728", "-"),
    "two-way": ("#ff7f0e", "-"),
    "auto:latency": ("#000000", ":"),
    "auto": ("#000000", "--"),
    "cascade": ("#2ca02c", "--"),
}
CLOUD_COLOURS = ("#08519c", "#3182bd", "#6baed6", "#9ecae1")


def plot(result: dict[str, Any], file: Path) -> None:
    """Columns: devices; rows: round trips and losses. Both axes are logarithmic."""
    rows = result["rows"]
    devices = list(dict.fromkeys(row["device"] for row in rows))
    links = list(dict.fromkeys((row["round_trip_ms"], row["loss"]) for row in rows))
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    strategies.sort(key=lambda name: (list(STYLES).index(name) if name in STYLES else 2.5, name))
    clouds = [name for name in strategies if name not in STYLES]
    figure, axes = plt.subplots(
        len(links),
        len(devices),
        squeeze=False,
        sharex=True,
        sharey="row",
        figsize=(4 * len(devices), 3 * len(links) + 0.6),
        layout="constrained",
    )
    for line, link in enumerate(links):
        for column, device in enumerate(devices):
            axis = axes[line][column]
            here = [
                row
                for row in rows
                if (row["round_trip_ms"], row["loss"]) == link and row["device"] == device
            ]
            for name in strategies:
                points = sorted(
                    (row["kilobytes_per_s"], row["p50_ms"])
                    for row in here
                    if row["strategy"] == name
                )
                colour, style = STYLES.get(name) or (
                    CLOUD_COLOURS[clouds.index(name) % len(CLOUD_COLOURS)],
                    "-",
                )
                axis.plot(
                    [x for x, _ in points],
                    [y for _, y in points],
                    style,
                    color=colour,
                    marker="o",
                    markersize=3,
                    linewidth=1.5,
                    label=name,
                )
            if here:
                axis.axhline(here[0]["deadline_ms"], color="#cccccc", linewidth=1)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_title(f"{device}, {link[0]:g} ms, {link[1]:.0%} lost", fontsize=9)
            if column == 0:
                axis.set_ylabel("median latency, ms")
            if line == len(links) - 1:
                axis.set_xlabel("bandwidth, KB/s")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3 * len(devices), fontsize=8)
    save_figure(figure, file, dpi=130)
    plt.close(figure)
