"""Accuracy against bytes as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.rate_curve import hull
from training.study.figure_file import save_figure

# Ours stands out; floats and raw bytes are there for reference.
_STYLES: dict[str, dict[str, Any]] = {
    "rate": {"color": "tab:red", "marker": "o", "linewidth": 2.2, "zorder": 3},
    "raw": {"color": "black", "marker": "s"},
    "jpeg": {"color": "tab:gray", "marker": "."},
    "webp": {"color": "tab:blue", "marker": "."},
    "avif": {"color": "tab:green", "marker": "."},
}
_TICKS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
LABELS = {"rate": "latent, entropy coded", "raw": "latent, raw"}


def draw(points: list[dict[str, Any]], title: str, target: Path) -> None:
    """Every point, and the hull of each kind as a line, as a PNG. A point has ``kind``, ``name``,
    ``bytes_mean`` and ``accuracy``."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    for kind, style in _STYLES.items():
        own = [point for point in points if point["kind"] == kind]
        if not own:
            continue
        sent = np.array([point["bytes_mean"] for point in own])
        accuracy = np.array([point["accuracy"] for point in own])
        raw = kind == "raw"
        places = np.arange(len(own)) if raw else hull(sent, accuracy)
        line = "none" if raw else "-"
        label = LABELS.get(kind, f"{kind}: picture, path image")
        axes.plot(sent[places], 100 * accuracy[places], **style, linestyle=line, label=label)
        axes.scatter(sent, 100 * accuracy, s=12, color=style["color"], alpha=0.35)
        if kind in LABELS:
            for point in own:
                axes.annotate(
                    point["name"],
                    (point["bytes_mean"], 100 * point["accuracy"]),
                    fontsize=8,
                    xytext=(5, -11),
                    textcoords="offset points",
                )
    axes.set(xscale="log", xlabel="mean bytes a face", ylabel="accuracy, %", title=title)
    axes.set_xticks(_TICKS, [f"{tick:,}" for tick in _TICKS])
    axes.set_xlim(90, 45_000)
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right")
    save_figure(figure, target, dpi=120)
    plt.close(figure)
