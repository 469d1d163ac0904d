"""What ``benchmarks.serving`` measured against what was wanted."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.common.machine import machine_line
from benchmarks.serving.load import REFUSALS

Row = dict[str, Any]
# Of the raw rate, by faces a call.
LEAST_GOODPUT = {1: 0.88, 4: 0.95}
LEAST_AT_2X, LEAST_AT_10X = 0.9, 0.9
MOST_REFUSAL_P95_MS, MOST_P99_BATCHES, MOST_OVERHEAD_MS = 20.0, 3.0, 1.0


def peak(rows: Iterable[Row]) -> float:
    """The best goodput."""
    return max((row["faces_in_time_per_s"] for row in rows), default=0.0)


def best_share(sweep: list[Row]) -> float:
    """The best goodput of a sweep, as a share of the raw rate of the same minute."""
    return peak(sweep) / median(row["raw_faces_per_s"] for row in sweep) if sweep else 0.0


def rounds(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each round."""
    each: dict[int, list[Row]] = {}
    for row in rows:
        each.setdefault(row["round"], []).append(row)
    return [each[number] for number in sorted(each)]


def verdict(raw: Row, rows: list[Row]) -> list[Row]:
    """Each target: the median of what the rounds measured, their least and most, the bound, and
    whether it holds (None: not measured)."""
    each = [one for mine in rounds(rows) for one in _round_verdict(raw, mine)]
    return [
        _merged([one for one in each if one["target"] == target])
        for target in dict.fromkeys(one["target"] for one in each)
    ]


def _merged(said: list[Row]) -> Row:
    each = [one["measured"] for one in said if one["measured"] is not None]
    target, bound, least = (said[0][key] for key in ("target", "bound", "at_least"))
    if not each:
        return {**said[0], "spread": None, "met": None}
    middle = median(each)
    return {
        "target": target,
        "measured": round(middle, 3),
        "bound": bound,
        "at_least": least,
        "spread": [round(min(each), 3), round(max(each), 3)],
        "met": middle >= bound if least else middle <= bound,
    }


def _round_verdict(raw: Row, rows: list[Row]) -> list[Row]:
    said: list[Row] = []
    for protocol in ("unary", "stream"):
        mine = [r for r in rows if r["server"] == "splitfer" and r["protocol"] == protocol]
        for faces, least in LEAST_GOODPUT.items():
            share = best_share(_pick(mine, "sweep", faces)) or None
            said.append(_at_least(f"{protocol}: goodput / raw, {faces} a call", share, least))
        share = best_share(_pick(mine, "sweep", 1))
        for row in _pick(mine, "overload 2x"):
            best = share * row["raw_faces_per_s"]
            ratio = row["faces_in_time_per_s"] / best if best else None
            said.append(_at_least(f"{protocol}: goodput at 2x / peak", ratio, LEAST_AT_2X))
        for row in _pick(mine, "overload 10x"):
            best = share * row["raw_faces_per_s"]
            bound = _bound(best, row["sent_calls_per_s"], _pick(mine, "refusals"))
            # No ratio: the bound is 0 where refusals alone would fill the core.
            beyond = None if bound is None else row["faces_in_time_per_s"] - LEAST_AT_10X * bound
            name = f"{protocol}: goodput at 10x over {LEAST_AT_10X:g} of the bound by refusals"
            said.append(_at_least(f"{name}, faces/s", beyond, 0.0))
        for row in (*_pick(mine, "overload 2x"), *_pick(mine, "overload 10x")):
            name = f"{protocol}: refusals p95 at {row['what'].removeprefix('overload ')}, ms"
            said.append(_at_most(name, _ms(row, "refused_ms", "p95"), MOST_REFUSAL_P95_MS))
        for row in _pick(mine, "70 %"):
            name = f"{protocol}: p99 at 70 % / run of the largest batch"
            p99_ms = _ms(row, "answered_ms", "p99")
            ratio = p99_ms / raw["server_batch_max_ms"] if p99_ms else None
            said.append(_at_most(name, ratio, MOST_P99_BATCHES))
        for row in _pick(mine, "idle"):
            p50_ms = _ms(row, "answered_ms", "p50")
            over_ms = p50_ms - row["raw_idle_ms"] if p50_ms else None
            said.append(_at_most(f"{protocol}: idle p50 overhead, ms", over_ms, MOST_OVERHEAD_MS))
    return said + _against_peers(rows)


def table(result: Row) -> str:
    """The result as text."""
    raw = result["raw"]
    said = (
        f"raw: {raw['faces_per_s']:.0f} faces/s in batches of {raw['best_batch']}; one takes "
        f"{raw['batch_ms']['1']:.2f} ms, {raw['idle_ms']:.2f} after a pause; the server's largest "
        f"batch is {raw['server_batch_max']}, {raw['server_batch_max_ms']:.1f} ms"
    )
    titles = (
        f"{'server':<11}{'by':<8}{'faces':>5} {'what':<13}{'asked/s':>9}{'in time/s':>10}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'refused p95':>12}  codes"
    )
    lines = [said, "", titles]
    for row in result["rows"]:
        p50, p99, refused = (
            _text(_ms(row, times, share))
            for times, share in (
                ("answered_ms", "p50"),
                ("answered_ms", "p99"),
                ("refused_ms", "p95"),
            )
        )
        codes = ", ".join(f"{code} {n}" for code, n in row["codes"].items())
        lines.append(
            f"{row['server']:<11}{row['protocol']:<8}{row['faces']:>5} {row['what']:<13}"
            f"{row['faces_per_s']:>9.0f}{row['faces_in_time_per_s']:>10.0f}"
            f"{p50:>9}{p99:>9}{refused:>12}  {codes}"
        )
    lines.append("")
    for one in result["verdict"]:
        met = {True: "met", False: "MISSED", None: "not measured"}[one["met"]]
        sign = ">=" if one["at_least"] else "<="
        spread = f"{one['spread'][0]:.2f} to {one['spread'][1]:.2f}" if one["spread"] else ""
        lines.append(
            f"{one['target']:<66}{_text(one['measured']):>9}  {spread:<18}"
            f"{sign} {one['bound']:g}  {met}"
        )
    return "\n".join([*lines, "", machine_line(result["machine"])])


def _against_peers(rows: list[Row]) -> list[Row]:
    said = []
    mine = [row for row in rows if row["server"] == "splitfer"]
    peers = dict.fromkeys(row["server"] for row in rows if row["server"] != "splitfer")
    for name in peers:
        theirs = [row for row in rows if row["server"] == name]
        best = best_share(_pick(theirs, "sweep", 1))
        p99_ms = next((_ms(row, "answered_ms", "p99") for row in _pick(theirs, "70 %")), None)
        for protocol in ("unary", "stream"):
            ours = [row for row in mine if row["protocol"] == protocol]
            ratio = best_share(_pick(ours, "sweep", 1)) / best if best else None
            said.append(_at_least(f"{protocol}: goodput / {name}", ratio, 1.0))
            our_ms = next((_ms(row, "answered_ms", "p99") for row in _pick(ours, "70 %")), None)
            ratio = our_ms / p99_ms if our_ms and p99_ms else None
            # Each at 70 % of its own best, which is the higher load for the better one.
            said.append(_at_most(f"{protocol}: p99 at 70 % / {name}", ratio, 1.0))
    return said


def _bound(best: float, offered: float, refusals: list[Row]) -> float | None:
    """The goodput that is possible where every other call costs a refusal: on a core that is all
    used, ``answered x cost + (offered - answered) x refusal = 1``."""
    refused = sum(row["codes"].get(code, 0) for row in refusals for code in REFUSALS)
    if not refused or not best:
        return None
    refusal_s, cost_s = sum(row["cpu_s"] for row in refusals) / refused, 1 / best
    if refusal_s >= cost_s:
        return None
    return float(max(0.0, (1 - offered * refusal_s) / (cost_s - refusal_s)))


def _pick(rows: list[Row], what: str, faces: int | None = None) -> list[Row]:
    return [row for row in rows if row["what"] == what and faces in (None, row["faces"])]


def _ms(row: Row, times: str, share: str) -> float | None:
    return float(row[times][share]) if row[times] else None


def _at_least(target: str, measured: float | None, bound: float) -> Row:
    return {"target": target, "measured": measured, "bound": bound, "at_least": True}


def _at_most(target: str, measured: float | None, bound: float) -> Row:
    return {"target": target, "measured": measured, "bound": bound, "at_least": False}


def _text(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f}"
