"""From the outcomes of ``benchmarks.link`` to its rows, its verdict and its text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.common.machine import machine_line
from splitfer.edge_client.policy.prediction import Route
from splitfer.edge_client.policy.routes import candidates
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights.manifest import Manifest

Row = dict[str, Any]
PLACE = ("device", "kilobytes_per_s", "round_trip_ms", "loss")
# Strategies that choose; the others are one path each, and what these are held against.
CHOOSING = ("auto:latency", "auto", "cascade")
# Not offered to a policy: the server's tail on the device, and the paper's way there and back.
NOT_OFFERED = ("full", "two-way")
NEAR = 1.05


def point_rows(place: Row, outcomes: dict[str, list[Any]], manifest: Manifest) -> list[Row]:
    """A row per strategy of one point."""
    rows = (place | _row(name, of_one, manifest) for name, of_one in outcomes.items() if of_one)
    return [row | {"late": _late(outcomes[row["strategy"]], row["deadline_ms"])} for row in rows]


def verdict(rows: list[Row]) -> Row:
    """The targets, point by point, and the points that miss them."""
    auto_latency: list[Any] = []
    over_own: list[Any] = []
    auto, one_way = [], []
    points = by_point(rows)
    for place, point in points.items():
        single = {name: row for name, row in point.items() if name not in CHOOSING}
        best = min(single, key=lambda name: single[name]["p50_ms"])
        own = min(set(single) - set(NOT_OFFERED), key=lambda name: single[name]["p50_ms"])
        for against, missed in ((best, auto_latency), (own, over_own)):
            ratio = point["auto:latency"]["p50_ms"] / single[against]["p50_ms"]
            if ratio > NEAR:
                missed.append([*place, against, round(ratio, 3)])
        default = point["auto"]
        late = default["p99_ms"] > default["deadline_ms"]
        # As the policy does, by log loss where it is known.
        better = "accuracy" if default["log_loss"] is None else "log_loss"
        sign = 1 if better == "accuracy" else -1
        if late or sign * default[better] < sign * point["local"][better]:
            auto.append([*place, default["p99_ms"], default[better]])
        ours = max(row["p50_ms"] for name, row in single.items() if name.startswith("cloud"))
        if ours >= point["two-way"]["p50_ms"]:
            one_way.append([*place, ours, point["two-way"]["p50_ms"]])
    return {
        "points": len(points),
        "auto_latency_over_5_percent": auto_latency,
        "auto_latency_over_its_own_ways": over_own,
        "auto_late_or_worse": auto,
        "one_way_not_faster_than_two_way": one_way,
    }


def by_point(rows: Iterable[Row]) -> dict[tuple[Any, ...], dict[str, Row]]:
    """Rows by place, then by strategy."""
    points: dict[tuple[Any, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        points[tuple(row[key] for key in PLACE)][row["strategy"]] = row
    return points


def table(result: Row) -> str:
    """The result as text."""
    lines = [f"weights {result['fingerprint']}; {result['link']}; slowed by {result['processor']}"]
    for name, device in result["devices"].items():
        lines.append(f"{name}: factor {device['factor']}, backbone {device['backbone_ms']} ms")
    for place, point in by_point(result["rows"]).items():
        device, rate, round_trip_ms, loss = place
        deadline_ms = next(iter(point.values()))["deadline_ms"]
        place_text = f"{device} (deadline {deadline_ms:g} ms), {rate:g} KB/s, {round_trip_ms:g} ms"
        lines += [
            "",
            f"{place_text}, {loss:.0%} lost",
            f"{'':<16}{'p50 ms':>10}{'p99 ms':>10}{'late':>7}{'accuracy':>10}{'bytes':>9}{'n':>5}",
        ]
        for name, row in point.items():
            accuracy = "-" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
            lines.append(
                f"{name:<16}{row['p50_ms']:>10.1f}{row['p99_ms']:>10.1f}{row['late']:>7.0%}"
                f"{accuracy:>10}{row['bytes_mean']:>9.0f}{row['n']:>5}  {_answered(row['paths'])}"
            )
    said = result["verdict"]
    lines += ["", f"of {said['points']} points"]
    for key in (key for key in said if key != "points"):
        lines.append(f"  {key.replace('_', ' ')}: {len(said[key])} {said[key] or ''}")
    return "\n".join([*lines, "", machine_line(result["machine"])])


def _answered(paths: dict[str, int]) -> str:
    return ", ".join(f"{path} {n}" for path, n in paths.items()) if len(paths) > 1 else ""


def _row(name: str, outcomes: list[Any], manifest: Manifest) -> Row:
    shares = (5, 25, 50, 75, 95, 99)
    times_ms = np.percentile([one["ms"] for one in outcomes], shares)
    p5, p25, p50, p75, p95, p99 = (round(float(one), 2) for one in times_ms)
    ways = [_way(one, manifest) for one in outcomes]
    answered = Counter(map(_path, outcomes))
    return {
        "strategy": name,
        "n": len(outcomes),
        "p50_ms": p50,
        "p99_ms": p99,
        "p5_ms": p5,
        "p95_ms": p95,
        "quartiles_ms": [p25, p75],
        "accuracy": _mean([one.accuracy if one else None for one in ways]),
        "log_loss": _mean([one.log_loss if one else None for one in ways]),
        # As the machine counts it, which is the device's divided by its factor.
        "processor_ms": round(float(np.mean([one["processor_ms"] for one in outcomes])), 3),
        "bytes_mean": round(float(np.mean([one["sent_bytes"] for one in outcomes])), 1),
        "paths": dict(answered),
    }


def _path(outcome: Row) -> str:
    """Path and rate; `cloud+local` where both tails' answers were averaged."""
    if outcome["path"] != "cloud":
        return str(outcome["path"])
    return f"cloud{'+local' if outcome.get('together') else ''}:{outcome['rate']}"


def _late(outcomes: list[Any], deadline_ms: float) -> float:
    """Share of answers after the device's deadline."""
    late = sum(bool(one["ms"] > deadline_ms) for one in outcomes)
    return round(late / len(outcomes), 4)


def _mean(values: list[float | None]) -> float | None:
    """None where one is not known: it is not a mean over some."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 5) if len(known) == len(values) else None


def _way(outcome: Row, manifest: Manifest) -> Route | None:
    """What the weights' manifest says of the way that answered."""
    ways = candidates(manifest, image=True, together=outcome.get("together", False))
    path, rate = outcome["path"], outcome.get("rate")
    if path == "full":
        path, rate = AnswerPath.CLOUD, manifest.default_rate
    if path == AnswerPath.LOCAL or path == AnswerPath.IMAGE:
        rate = ""
    return next((one for one in ways if one.path == path and one.rate == rate), None)
