"""How far people agree on FER2013:
``python -m training.data.votes_report --data PATH --votes FILE``.

Of Training and PublicTest: how many faces each measure of ``training.data.votes`` keeps, how often
the data set's own label is what people said, and the share of each label in the votes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.labels import LABELS
from training.data.datasets import DataError, Faces, data_path, load_fer2013
from training.data.votes import Votes, load_votes, votes_path

USAGES = ("Training", "PublicTest")


def report(faces: Faces, votes: Votes) -> dict[str, Any]:
    """What the votes say of one part, and what of FER2013's label."""
    labels, chosen = votes.protocol()
    first, usable = votes.plurality()
    names = (*LABELS, "contempt")
    by_label = np.bincount(labels[chosen], minlength=len(names)).tolist()
    return {
        "n": len(votes),
        "missing": votes.missing,
        "usable": int(usable.sum()),
        "protocol": {"n": int(chosen.sum()), "faces": dict(zip(names, by_label, strict=True))},
        "label_is_plurality": _share(faces.labels == first, usable),
        "label_is_protocol": _share(faces.labels == labels, chosen),
        "voter_is_protocol": round(votes.agreement(), 4),
        "cross_entropy_floor": round(votes.cross_entropy_floor(), 4),
        "prior": dict(zip(LABELS, votes.prior().round(5).tolist(), strict=True)),
    }


def _share(right: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> float | None:
    return round(float(right[chosen].mean()), 4) if chosen.any() else None


def table(result: dict[str, dict[str, Any]]) -> str:
    """The result as text."""
    return "\n\n".join("\n".join(_lines(usage, part)) for usage, part in result.items())


def _lines(usage: str, part: dict[str, Any]) -> Iterable[str]:
    protocol = part["protocol"]
    yield (
        f"{usage}: {part['n']:,} pictures, {part['missing']:,} without votes, "
        f"{part['usable']:,} usable, {protocol['n']:,} in FER+'s protocol"
    )
    yield f"{'':<10}{'in the protocol':>17}{'share of votes':>16}"
    for name, n in protocol["faces"].items():
        share = f"{part['prior'][name]:.2%}" if name in part["prior"] else "-"
        yield f"{name:<10}{n:>17,}{share:>16}"
    for key, what in (
        ("label_is_plurality", "FER2013's label is the first choice"),
        ("label_is_protocol", "FER2013's label is the protocol's"),
        ("voter_is_protocol", "one voter says the protocol's label"),
    ):
        yield f"{what}: {'-' if part[key] is None else format(part[key], '.2%')}"
    yield f"least cross entropy against the votes: {part['cross_entropy_floor']:.4f} nats"


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="fer2013new.csv, or a csv of votes by name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    try:
        votes, data = votes_path(arguments.votes), data_path(arguments.data)
        result = {}
        for usage in USAGES:
            faces = load_fer2013(data, usage)
            result[usage] = report(faces, load_votes(votes, faces, usage))
    except DataError as error:
        print(f"votes_report: {error}", file=sys.stderr)
        return 3
    print(json.dumps(result) if arguments.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
