"""The figures of docs/figures/models.md: networks and runtimes compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.bootstrap import points
from benchmarks.common.machine import machine_line
from benchmarks.common.markdown import paragraphs, table
from benchmarks.readme.results import run_json
from splitfer.shared.labels import LabelSet

PARETO_PICTURE = Path("docs/figures/models.png")


def table_001_4(_: str | None) -> str:
    """Networks at 224 px."""
    return _networks("001.4")


def table_000_6(_: str | None) -> str:
    """Networks at 44 px."""
    return _networks("000.6")


def _networks(name: str) -> str:
    from benchmarks.models import models

    found = run_json("benchmarks.models.models", "--table", name)
    theirs = models.paper_head(found)
    number = name.partition(".")[0]
    head = ["", *models.HEAD, *(f"{number}: {one}" for one in theirs)]
    rows = [
        [row["name"], *models.own_figures(row), *(row["paper"].get(one, "") for one in theirs)]
        for row in found["rows"]
    ]
    return paragraphs(
        f"`python -m benchmarks models --table {name}`",
        table(head, rows),
        f"Weights `{found['fingerprint']}`, measured on {machine_line(found['machine'])}.",
    )


def table_004_4(data: str | None) -> str:
    """Runtimes and precisions of the models of a device."""
    from benchmarks.models import runtimes
    from benchmarks.models.plot import draw

    options = ["--data", data] if data else []
    found = run_json("benchmarks.models.runtimes", *options, "--table", "004.4")
    draw(plotted(found), LabelSet.CROWD, PARETO_PICTURE)
    theirs = "; ".join(f"{name}: {', '.join(row)}" for name, row in found["paper"].items())
    return paragraphs(
        f"`python -m benchmarks runtimes --table 004.4 --data fer2013.zip --votes ferplus.csv`: "
        f"{found['faces']:,} faces of PublicTest",
        table(list(runtimes.HEAD), [runtimes.cells(row) for row in found["rows"]]),
        f"Paper 004's Table 4, Light-FER on a Jetson Nano (FPS, mW, GB in all): {theirs}.",
        f"![Accuracy against time, bytes and parameters]({PARETO_PICTURE})",
        f"Weights `{found['fingerprint']}`, measured on {machine_line(found['machine'])}.",
    )


def plotted(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of ONNX Runtime, which a device runs, as ``plot.draw`` takes them."""
    return [
        {**row, "accuracy": row["accuracy"][LabelSet.CROWD]["accuracy"]}
        for row in found["rows"]
        if row["runtime"] == "onnxruntime" and LabelSet.CROWD in row.get("accuracy", {})
    ]


def ten_windows(data: str | None) -> str:
    """The single view of each model next to the mean of ten."""
    options = ["--data", data] if data else []
    found = run_json("benchmarks.accuracy.accuracy", *options, "--ten-windows")
    rows = [
        [
            f"`{name}`",
            label_set,
            f"{row['n']:,}",
            *(f"{row[view]:.2%}" for view in ("single", "mirrored", "ten")),
            *(points(row["difference"][view]) for view in ("mirrored", "ten")),
        ]
        for name, by_label_set in found["ten_windows"].items()
        for label_set, row in sorted(by_label_set.items())
    ]
    head = ["model", "labels", "faces", "single view", "with its mirror image", "ten windows",
            "mirrored less single", "ten less single"]  # fmt: skip
    return paragraphs(
        "`python -m benchmarks accuracy --ten-windows --data fer2013.zip --votes ferplus.csv`",
        table(head, rows),
        f"{found['n']:,} pictures of {found['usage']}, weights `{found['fingerprint']}`.",
    )
