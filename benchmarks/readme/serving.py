"""The README's figures of the server under load."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.machine import machine_line
from benchmarks.common.markdown import paragraphs, table
from benchmarks.readme.results import run_json
from benchmarks.serving.plot import plot
from benchmarks.serving.summary import peak, rounds

PICTURE = Path("docs/figures/serving.png")


def serving(_: str | None) -> str:
    """Goodput and latency of this server and its peers, and which targets hold."""
    found = run_json("benchmarks.serving.serving")
    plot(found, PICTURE)
    return written(found)


def written(found: dict[str, Any]) -> str:
    """The part, of what ``benchmarks.serving`` printed."""
    raw, rows = found["raw"], found["rows"]
    kinds = dict.fromkeys((row["server"], row["protocol"]) for row in rows)
    head = [
        "server", "goodput, 1 face a call", "4 faces", "offered twice that", "ten times",
        "refusals then, p95 ms", "p50, p99 ms at 70 %", "alone, p50 ms",
    ]  # fmt: skip
    of = {
        met: [one for one in found["verdict"] if one["met"] is met] for met in (True, False, None)
    }
    said = f"{len(of[True])} of {len(found['verdict'])} targets hold."
    if of[False]:
        said += f" Missed: {'; '.join(map(_target, of[False]))}."
    if of[None]:
        said += f" Not measured: {'; '.join(one['target'] for one in of[None])}."
    return paragraphs(
        "`python -m benchmarks serving --plot serving.png`: faces a second that were answered "
        f"within {found['plan']['deadline_ms']:g} ms, the server on one core, open loads; medians "
        f"of {found['plan']['rounds']} rounds",
        table(head, [_row(rows, *kind) for kind in kinds]),
        f"Without any server the core decodes and answers {raw['faces_per_s']:.0f} faces/s in "
        f"batches of {raw['best_batch']}; one alone takes {raw['idle_ms']:.1f} ms.",
        said,
        f"![Goodput and latency against load]({PICTURE})",
        f"Measured on {machine_line(found['machine'])}.",
    )


def _target(one: dict[str, Any]) -> str:
    sign = ">=" if one["at_least"] else "<="
    least, most = one["spread"]
    return f"{one['target']} {one['measured']:g} ({least:g} to {most:g}; {sign} {one['bound']:g})"


def _row(rows: list[dict[str, Any]], server: str, protocol: str) -> list[str]:
    mine = [row for row in rows if (row["server"], row["protocol"]) == (server, protocol)]

    def goodput(what: str, faces: int = 1) -> str:
        found = [row for row in mine if row["what"] == what and row["faces"] == faces]
        return f"{median(map(peak, rounds(found))):.0f}" if found else "-"

    def ms(what: str, times: str, *shares: str) -> str:
        found = [row[times] for row in mine if row["what"] == what and row[times]]
        medians = (median(each[share] for each in found) for share in shares if found)
        return ", ".join(f"{one:.1f}" for one in medians) or "-"

    name = f"`{protocol}`" if server == "splitfer" else server
    return [
        name, goodput("sweep"), goodput("sweep", 4), goodput("overload 2x"),
        goodput("overload 10x"), ms("overload 10x", "refused_ms", "p95"),
        ms("70 %", "answered_ms", "p50", "p99"), ms("idle", "answered_ms", "p50"),
    ]  # fmt: skip
