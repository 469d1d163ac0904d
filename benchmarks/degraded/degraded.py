"""What bad pictures cost: ``python -m benchmarks degraded --data PATH --votes PATH``.

Every picture as it is, and degraded in each of the ways of ``benchmarks.degraded.degradations``,
through the paths of the shipped files: accuracy and what of it is lost, how sure the answers are,
and how often they are sure and wrong, which is the harm. ``--bands`` asks whether
``splitfer.shared.vision.quality`` tells where that is; ``--examples`` draws faces in every way and
measures nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.truth import USAGES
from benchmarks.common import face_rows
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine
from benchmarks.degraded import plot as degraded_plot
from benchmarks.degraded import quality_bands
from benchmarks.degraded.answers import Answers, answers_by_label_set, compared, rows, truths
from benchmarks.degraded.degradations import DEGRADATIONS, SEVERE
from benchmarks.degraded.table import table
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import HOLDOUT_SHARE, Faces, data_path, load_fer2013, split_off
from training.data.duplicates import TRAINING
from training.data.votes import VOTES_VARIABLE, Votes, load_votes, votes_path

# The part of Training that is never trained on: what is chosen is chosen on it.
HELD_OUT = "held-out"
SHOWN = 10


def load(arguments: argparse.Namespace) -> tuple[Faces, Votes | None]:
    """The faces of ``--usage``, and their votes where any are named.

    Raises:
        DataError: the data or the votes are not in order.
    """
    held_out = arguments.usage == HELD_OUT
    usage = TRAINING if held_out else arguments.usage
    faces, votes = load_fer2013(data_path(arguments.data), usage), None
    if arguments.votes or VOTES_VARIABLE in os.environ:
        votes = load_votes(votes_path(arguments.votes), faces, usage)
    chosen = np.ones(len(faces), np.bool_)
    if held_out:
        chosen = np.isin(faces.ids, split_off(faces, HOLDOUT_SHARE)[1].ids)
    if arguments.most is not None:
        chosen &= np.cumsum(chosen) <= arguments.most
    return faces.subset(chosen), None if votes is None else votes.subset(chosen)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    faces, votes = load(arguments)
    result: dict[str, Any] = {"usage": arguments.usage, "n": len(faces)}
    if arguments.examples:
        shown = faces.pictures[:SHOWN]
        face_rows.draw({n: d.apply(shown) for n, d in DEGRADATIONS.items()}, arguments.examples)
        return result | {"examples": str(arguments.examples)}
    weights = Weights(arguments.weights or default_folder())
    measured_by = truths(faces, votes)

    ways = DEGRADATIONS | SEVERE if arguments.bands else DEGRADATIONS

    def answered(which: Weights, tail: str, rate: str) -> dict[str, Answers]:
        return answers_by_label_set(
            which, tail, rate, arguments.threads, faces.pictures, measured_by, ways
        )

    ours = answered(weights, arguments.tail, arguments.rate)
    result["label_sets"] = {name: rows(ours[name], truth) for name, truth in measured_by.items()}
    if arguments.against:
        other = Weights(arguments.against)
        # Older weights may have neither this tail nor this rate: then their default ones.
        tail = arguments.tail if arguments.tail in other.manifest.tails else ""
        names = [entry.name for entry in other.manifest.rates]
        theirs = answered(other, tail, arguments.rate if arguments.rate in names else "")
        result["against"] = {
            "fingerprint": other.manifest.fingerprint,
            "label_sets": {n: rows(theirs[n], truth) for n, truth in measured_by.items()},
            "compared": {
                n: compared(ours[n], theirs[n], truth) for n, truth in measured_by.items()
            },
        }
    if arguments.bands:
        shares = {
            name: weights.manifest.shares(LabelSet(name), Prior.NATURAL) for name in measured_by
        }
        result["bands"] = quality_bands.measure(ours, measured_by, faces.pictures, shares)
    result |= {
        "fingerprint": weights.manifest.fingerprint,
        "tail": arguments.tail or weights.manifest.default_tail,
        "rate": arguments.rate or weights.manifest.default_rate,
        "machine": describe_machine(),
    }
    if arguments.plot:
        draw = degraded_plot.draw_bands if arguments.bands else degraded_plot.draw
        draw(result, arguments.plot)
    return result


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="what people said: ferplus.csv or fer2013new.csv")
    parser.add_argument("--usage", choices=(*USAGES, HELD_OUT), default="PublicTest")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--rate", default="", help="what is sent; else the weights' default rate")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--against", type=Path, help="a second folder of weights, on the same faces")
    how.add_argument(
        "--bands", action="store_true", help="accuracy by picture quality, and what is uncertain"
    )
    how.add_argument(
        "--examples", type=Path, metavar="FILE", help="draw faces in every way, measure nothing"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the figure, too")
    parser.add_argument("--most", type=positive, help="measure the first N faces only")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main() -> int:
    """Command line; gives the exit code."""
    return finish(parser().parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
