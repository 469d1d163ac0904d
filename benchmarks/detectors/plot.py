"""The figure of ``python -m benchmarks detectors``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.study.figure_file import save_figure

_PANELS = (
    ("by_side_px", "side_px", "side of the face's box, px"),
    ("by_yaw_deg", "yaw_deg", "turned about its vertical axis, degrees"),
    ("by_roll_deg", "roll_deg", "turned in the picture, degrees"),
)


def draw(result: dict[str, Any], target: Path) -> None:
    """Faces found by size, yaw and roll, as a picture."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
    for axes, (kind, key, title) in zip(panels, _PANELS, strict=True):
        for name, one in result["detectors"].items():
            axes.plot(
                [row[key] for row in one[kind]],
                [100 * row["recall"] for row in one[kind]],
                marker="o",
                markersize=4,
                label=f"{name}, {one['search_ms']:.1f} ms a frame",
            )
        axes.set_prop_cycle(None)
        for name, one in result["detectors"].items():
            if kind == "by_side_px" and (rows := one.get("photos_by_side_px")):
                axes.plot(
                    [row[key] for row in rows],
                    [100 * row["recall"] for row in rows],
                    linestyle="--",
                    marker="x",
                    markersize=4,
                    label=f"{name}, in photographs",
                )
        axes.set(xlabel=title, ylim=(-3, 103))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"faces found in {result['frame']}, %")
    panels[0].axvline(24, color="black", linewidth=0.8, alpha=0.5)
    panels[0].legend(loc="lower right", fontsize=8)
    for axes in panels[1:]:
        axes.text(
            0.03,
            0.04,
            f"boxes of {result['turned_side_px']} px",
            fontsize=8,
            transform=axes.transAxes,
        )
    save_figure(figure, target, dpi=120)
    plt.close(figure)
