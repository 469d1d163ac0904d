"""Classifiers of the papers that are trained and too large to be shipped: their runs are kept in
the repository, and the tables have them beside those of the weights."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitfer.shared.weights import Weights
from training.export.local_model import add_local_model, load_classifier
from training.fit.checkpoint import KEPT, RUNS
from training.models.family import CLASSIFIERS


def kept_models(weights: Weights, runs: Path = RUNS) -> list[str]:
    """Names of classifiers that ``weights`` do not have and whose trained parameters are kept."""
    missing = CLASSIFIERS.keys() - weights.manifest.local_models.keys()
    return sorted(name for name in missing if (runs / name / KEPT).exists())


def logged_accuracy(name: str, runs: Path = RUNS) -> dict[str, float]:
    """By label set, of PublicTest, single view, as the last epoch of a kept run says; empty where
    it is not kept."""
    if not (runs / name / KEPT).exists():
        return {}
    last = json.loads((runs / name / "log.jsonl").read_text().splitlines()[-1])
    found: dict[str, float] = last["public_test"]
    return found


@contextmanager
def with_kept_models(weights: Weights, runs: Path = RUNS) -> Iterator[Weights]:
    """``weights`` and the kept classifiers as local models of a copy, while the context lasts."""
    names = kept_models(weights, runs)
    if not names:
        yield weights
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(weights.folder, Path(place, weights.folder.name)))
        for name in names:
            add_local_model(folder, name, load_classifier(name, name), str(runs / name))
        yield Weights(folder)
