"""What an attack may cost, and the table of what it did."""

from __future__ import annotations

from typing import Any

from benchmarks.attack.server import DRAIN_S
from benchmarks.common.machine import machine_line
from benchmarks.common.markdown import paragraphs
from benchmarks.common.markdown import table as markdown

MOST_OVER_IDLE_MIB, LEFT_RATIO = 600, 1.2
MOST_RATIO = {"p50": 2.0, "p95": 3.0}
MOST_STOP_S = DRAIN_S + 2
Row = dict[str, Any]
_KINDS = ("face", "picture", "probe")


def misses(row: Row) -> list[str]:
    """Which bounds do not hold, as words."""
    found = []
    if row["peak_mib"] - row["idle_mib"] > MOST_OVER_IDLE_MIB:
        found.append("memory")
    if row["left_mib"] > LEFT_RATIO * row["idle_mib"]:
        found.append("memory after")
    if success(row) < 1:
        found.append("success")
    found += [
        f"{which} {kind}"
        for which, most in MOST_RATIO.items()
        for kind in _KINDS
        if _ratio(row, kind, which) > most
    ]
    if row["stop_s"] > MOST_STOP_S:
        found.append("stop")
    if not row["alive"]:
        found.append("died")
    return found


def success(row: Row) -> float:
    """Share of the honest calls under attack that were answered."""
    asked = sum(row["attacked"][kind]["asked"] for kind in _KINDS)
    failed = sum(sum(row["attacked"][kind]["failed"].values()) for kind in _KINDS)
    return (asked - failed) / asked if asked else 0.0


def table(found: dict[str, Any]) -> str:
    """The page's table, in Markdown, with what it was measured on."""
    head = [
        "attack", "peak over idle, MiB", "after / idle", "honest calls answered",
        "faces, ms, quiet to attacked: p50, p95", "pictures", "probes", "stop, s", "misses",
    ]  # fmt: skip
    rows = [_line(row) for row in found["attacks"].values()]
    held = sum(not misses(row) for row in found["attacks"].values())
    bounds = (
        f"Bounds: at most {MOST_OVER_IDLE_MIB} MiB over idle, at most {LEFT_RATIO:g} of idle "
        f"within a minute after, all honest calls answered, {_ratios()}, a stop within "
        f"{MOST_STOP_S} s (`drain_s` {found['drain_s']}). "
        f"{held} of {len(rows)} attacks keep within all of them."
    )
    how = (
        f"Asked for {found['quiet_s']:g} s alone and for {found['attack_s']:g} s under each "
        f"attack; memory after it was waited for {found['after_s']:g} s at the most."
    )
    machine = f"Measured on {machine_line(found['machine'])}."
    return paragraphs(markdown(head, rows), bounds, how, machine)


def _ratios() -> str:
    return ", ".join(
        f"each {which} at most {most:g} times the quiet one" for which, most in MOST_RATIO.items()
    )


def _line(row: Row) -> list[str]:
    both = [
        ", ".join(
            f"{row['quiet'][kind][f'{which}_ms']:.0f} to {row['attacked'][kind][f'{which}_ms']:.0f}"
            for which in MOST_RATIO
        )
        for kind in _KINDS
    ]
    return [
        row["title"],
        f"{row['peak_mib'] - row['idle_mib']:,}",
        f"{row['left_mib'] / row['idle_mib']:.2f}",
        f"{success(row):.1%}",
        *both,
        f"{row['stop_s']:.1f}",
        ", ".join(misses(row)) or "none",
    ]


def _ratio(row: Row, kind: str, which: str) -> float:
    quiet, attacked = (row[when][kind][f"{which}_ms"] for when in ("quiet", "attacked"))
    return float(attacked / quiet) if quiet else 0.0
