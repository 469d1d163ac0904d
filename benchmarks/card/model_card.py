"""Measure weights and write their card: ``python -m benchmarks model_card --data PATH``.

``--votes`` names what people said, which weights that answer ``crowd`` need. Writes
``model-card.md`` and its pictures into ``docs``. The same weights and data give the same page.
PrivateTest is not read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.card.measurement import USAGE, measure_card
from benchmarks.card.page import page
from benchmarks.card.part import Part
from benchmarks.card.pictures import draw
from benchmarks.common.command import finish, positive
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.whole_file import write_whole
from training.data.datasets import data_path
from training.data.votes import votes_or_none, votes_path


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, write, and give the figures."""
    data = data_path(arguments.data)
    weights = Weights(arguments.weights or default_folder())
    needed = weights.label_set(None) is LabelSet.CROWD
    votes = (votes_path if needed else votes_or_none)(arguments.votes)
    training, test = (Part.load(data, votes, usage) for usage in ("Training", USAGE))
    if arguments.most is not None:
        training, test = training.first(arguments.most), test.first(arguments.most)
    card = measure_card(weights, training, test, arguments.threads)
    draw(card, arguments.docs)
    target = arguments.docs / "model-card.md"
    write_whole(target, page(card, run_facts(card["origin"])).encode())
    return {"page": str(target), **card}


def run_facts(origin: dict[str, Any]) -> list[tuple[str, str]]:
    """The manifest's origin as ``(what, text)``; what names a folder here becomes a link."""
    return [
        (name.replace("_", " "), f"[`{value}`](../../{value})" if _is_folder(value) else str(value))
        for name, value in origin.items()
    ]


def _is_folder(value: object) -> bool:
    return isinstance(value, str) and "/" in value and Path(value).is_dir()


def table(result: dict[str, Any]) -> str:
    """Where the page is."""
    return str(result["page"])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv: what people said")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--docs", type=Path, default=Path("docs/model"), help="where the page goes")
    parser.add_argument("--most", type=positive, help="the first N faces of each part only")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
