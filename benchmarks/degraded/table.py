"""What ``benchmarks.degraded`` found, as text."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.calibration import COVERAGES
from benchmarks.common.bootstrap import points
from benchmarks.common.machine import machine_line

Row = dict[str, Any]


def table(result: Row) -> str:
    """The result as text."""
    head = f"{result['usage']}, {result['n']} faces"
    if "examples" in result:
        return f"{head}: the first of them in {result['examples']}"
    head += f", weights {result['fingerprint']}, tail {result['tail']}, rate {result['rate']}"
    if "bands" in result:
        body = _bands(result["bands"])
    else:
        against = result.get("against")
        body = "\n\n".join(
            _path(label_set, path, by_kind, against)
            for label_set, paths in result["label_sets"].items()
            for path, by_kind in paths.items()
        )
        if against:
            body += f"\n\ntheirs: weights {against['fingerprint']}"
    return "\n".join([head, "", body, "", machine_line(result["machine"])])


def _path(label_set: str, path: str, by_kind: Row, against: Row | None) -> str:
    heads = f"{'accuracy':>10}{'change':>33}{'sure of it':>12}{'ECE':>8}{'sure, wrong':>13}"
    if against:
        heads += f"{'theirs':>9}{'ours - theirs':>33}{'of their loss':>15}"
    n = next(iter(by_kind.values()))["n"]
    lines = [f"{path}, labels of {label_set}, {n} faces", f"{'':<16}{heads}"]
    for name, row in by_kind.items():
        change = points(row["change"]) if "change" in row else ""
        line = (
            f"{name:<16}{row['accuracy']:>10.2%}{change:>33}{row['confidence_mean']:>12.1%}"
            f"{row['ece']:>8.3f}{row['sure_and_wrong']:>13.1%}"
        )
        if against:
            theirs = against["label_sets"][label_set][path][name]
            compared = against["compared"][label_set][path][name]
            share = compared["loss_share"]
            kept = "" if share is None else f"{share:.0%}"
            line += f"{theirs['accuracy']:>9.2%}{points(compared):>33}{kept:>15}"
        lines.append(line)
    return "\n".join(lines)


def _bands(bands: Row) -> str:
    parts = list(next(iter(bands["by_kind"].values())))
    lines = [f"{'quality, mean':<16}" + "".join(f"{part:>12}" for part in parts)]
    for name, row in bands["by_kind"].items():
        lines.append(f"{name:<16}" + "".join(f"{row[part]:>12.2f}" for part in parts))
    for label_set, paths in bands["label_sets"].items():
        for path, row in paths.items():
            lines += [
                "",
                f"{path}, labels of {label_set}, all pictures together",
                *_path_bands(row),
            ]
    return "\n".join(lines)


def _path_bands(row: Row) -> list[str]:
    lines = [f"{'quality':<16}{'pictures':>10}{'accuracy':>10}{'sure of it':>12}{'fallen to':>12}"]
    for band in row["bands"]:
        lines.append(
            f"{band['from']:.2f} - {band['to']:.2f}{'':<5}{band['n']:>10}{band['accuracy']:>10.1%}"
            f"{band['confidence_mean']:>12.1%}{band['fallen_mean']:>12.1%}"
        )
    lines.append(f"{'the surest':<24}{'area':>8}" + "".join(f"{c:>8.0%}" for c in COVERAGES))
    for name, curve in row["coverage"].items():
        told = "".join(f"{place['accuracy']:>8.1%}" for place in curve)
        lines.append(f"{name:<24}{row['area'][name]:>8.4f}{told}")
    lines.append(
        f"{'uncertain below':<16}{'pictures':>10}{'good ones':>11}{'they are right':>16}"
        f"{'the rest are':>14}"
    )
    for one in row["thresholds"]:
        wrong, rest = one["accuracy_of_uncertain"], one["accuracy_of_the_rest"]
        lines.append(
            f"{one['threshold']:<16.2f}{one['uncertain']:>10.1%}{one['uncertain_of_clean']:>11.1%}"
            f"{'-' if wrong is None else f'{wrong:.1%}':>16}"
            f"{'-' if rest is None else f'{rest:.1%}':>14}"
        )
    return lines
