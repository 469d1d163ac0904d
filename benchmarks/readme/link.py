"""The README's figures of the link and of what chooses the path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy.cascade import draw as draw_cascade
from benchmarks.common.machine import machine_line
from benchmarks.common.markdown import paragraphs, table
from benchmarks.link import worth
from benchmarks.link.plot import plot
from benchmarks.link.summary import CHOOSING, by_point
from benchmarks.readme.results import run_json

LINK_PICTURE = Path("docs/figures/link.png")
WORTH_PICTURE = Path("docs/figures/when-the-cloud-pays.png")
CASCADE_PICTURE = Path("docs/figures/cascade.png")


def link(_: str | None) -> str:
    """Latency by strategy over the small grid, and where a target is missed."""
    found = run_json("benchmarks.link.link", "--quick")
    plot(found, LINK_PICTURE)
    worth.draw(found, WORTH_PICTURE)
    rows = [
        _place(dict(zip(("device", "rate", "round_trip", "loss"), place, strict=True)), point)
        for place, point in by_point(found["rows"]).items()
    ]
    head = [
        "device, link", "device alone", "`cloud`", "picture", "two ways (001)",
        "`auto` for latency", "`auto`: p50, p99", "deadline",
    ]  # fmt: skip
    said = found["verdict"]
    return paragraphs(
        "`python -m benchmarks link --quick --plot link.png`: median ms from frame to answer, "
        "without the search for faces, over real sockets between two network namespaces",
        table(head, rows),
        f"Of {said['points']} points, `auto` for latency is more than 5 % over the best single "
        f"strategy at {len(said['auto_latency_over_5_percent'])}, and over the best of the ways it "
        f"has at {len(said['auto_latency_over_its_own_ways'])} (the server's tail on the device is "
        "not one of them); `auto` is late or worse than `local` (by log loss) at "
        f"{len(said['auto_late_or_worse'])}; `cloud` is no faster than 001's two ways at "
        f"{len(said['one_way_not_faster_than_two_way'])}.",
        f"![What auto does by device and link, gains and costs]({WORTH_PICTURE})",
        f"![Latency against bandwidth]({LINK_PICTURE})",
        f"Measured on {machine_line(found['machine'])}.",
    )


def _place(place: dict[str, Any], point: dict[str, dict[str, Any]]) -> list[str]:
    def best(*names: str) -> str:
        times = [point[name]["p50_ms"] for name in names if name in point]
        return f"{min(times):,.0f}"

    clouds = [name for name in point if name.startswith("cloud") and name not in CHOOSING]
    auto = point["auto"]
    return [
        f"{place['device']}, {place['rate']:g} KB/s, {place['round_trip']:g} ms",
        best("local", "full"), best(*clouds), best("image"), best("two-way"),
        best("auto:latency"), f"{auto['p50_ms']:,.0f}, {auto['p99_ms']:,.0f}",
        f"{auto['deadline_ms']:,.0f}",
    ]  # fmt: skip


def cascade(data: str | None) -> str:
    """Accuracy against the share of faces sent."""
    found = run_json(
        "benchmarks.accuracy.cascade",
        *(["--data", data] if data else []),
    )
    draw_cascade(found, CASCADE_PICTURE)
    rows = [
        [
            f"{row['threshold']:g}",
            f"{row['share_sent']:.0%}",
            f"{row['accuracy']:.2%}",
            f"{row['accuracy_at_random']:.2%}",
            f"{row['bytes_mean']:,.0f}",
        ]
        for row in found["rows"][::4]
    ]
    return paragraphs(
        "`python -m benchmarks cascade --data fer2013.zip --votes ferplus.csv --plot "
        f"cascade.png`, labels {found['labels']}: the device answers, and asks the server about "
        "the faces it is not sure of",
        table(
            [
                "`--cascade-threshold`",
                "faces sent",
                "accuracy",
                "as many at random",
                "bytes a face",
            ],
            rows,
        ),
        f"![Accuracy against faces sent]({CASCADE_PICTURE})",
    )
