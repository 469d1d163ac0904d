"""Put a trained classifier into weights that exist, as a model that answers on a device:
``python -m training.export.local_model --run NAME``.

The device crops as before and, where no server is named, needs no head then. The parameters are
stored in half precision. Nothing else of the weights changes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import nn

from splitfer.shared.errors import WeightsError
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL, TailEntry
from splitfer.shared.weights.runtime import Tail
from training.data.datasets import DataError, Faces, data_path
from training.data.judged import Judged, judged_part
from training.data.votes import votes_or_none
from training.export.calibrate import (
    THREADS,
    ByLabelSet,
    calibrated,
    joined,
    measured_answers,
    unseen,
)
from training.export.folder import all_or_nothing, write_manifest
from training.export.half import halve
from training.export.put_tail import put_tail
from training.fit.checkpoint import CHECKPOINT, averaged_weights
from training.fit.member import CHECKPOINTS, RUNS
from training.models.crop_classifier import SIZE_PX, CropClassifier
from training.models.family import CLASSIFIERS, deployed

# In the order of a classifier's logits, as its trainer has them.
BOTH = ("crowd", "fer2013")


def add_local_model(folder: Path, name: str, network: nn.Module, origin: str) -> None:
    """Put ``network``, of 44 px and both label sets, into ``folder`` as the local model ``name``;
    nothing is measured.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: the name is taken by a tail of another kind, or half precision changes its
            logits (``halve``); nothing is written.
    """
    manifest = Weights(folder).manifest
    taken = manifest.tails.keys() - manifest.local_models.values()
    if name in (LOCAL_TAIL, BACKBONE, *taken):
        raise ValueError(f"--name: {name} is another tail of these weights")
    with all_or_nothing(folder) as draft:
        put_tail(draft, name, CropClassifier(network.eval(), SIZE_PX), origin, BOTH)
        halve(draft, [name])


def measure_local_model(
    folder: Path, name: str, held_out: Judged, tests: Mapping[str, Judged]
) -> TailEntry:
    """Write the temperatures of one local model, fitted on ``held_out``, and its figures on
    ``tests``, by data part."""
    weights = Weights(folder)
    tail = weights.tail(name, THREADS)
    found = {part: _logits(tail, judged.faces) for part, judged in tests.items()}
    answers = calibrated(_logits(tail, held_out.faces), found, held_out)
    manifest = weights.manifest
    entry = manifest.tails[name].model_copy(update={"answers": measured_answers(answers, tests)})
    write_manifest(folder, manifest.model_copy(update={"tails": {**manifest.tails, name: entry}}))
    return entry


def load_classifier(model: str, run: str) -> nn.Module:
    """The trained classifier of a run, with its averaged weights, as it answers on a device.

    Raises:
        ValueError: there is none, it is of another model, or its training is not at the end.
    """
    state = averaged_weights(CHECKPOINTS / run / CHECKPOINT)
    network = CLASSIFIERS[model](len(BOTH))
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise ValueError(
            f"the run {run} is not of {model} with two label sets; --model names its network"
        ) from None
    return deployed(network)


def _logits(tail: Tail, faces: Faces) -> ByLabelSet:
    parts = []
    for start in range(0, len(faces), 32):
        crops = np.stack([enlarge_crop(p) for p in faces.pictures[start : start + 32]])
        parts.append(tail.all_logits(crops[:, None]))
    return joined(parts)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--model", choices=CLASSIFIERS, default="edgecnn")
    parser.add_argument("--run", help="name of the run (the model's)")
    parser.add_argument("--name", help="what a user calls it (the model's)")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    arguments = parser.parse_args()
    run, name = arguments.run or arguments.model, arguments.name or arguments.model
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        folder = arguments.weights or default_folder()
        network = load_classifier(arguments.model, run)
        held_out = unseen(judged_part(data, votes, "Training"))[1]
        tests = {"PublicTest": judged_part(data, votes, "PublicTest")}
        with all_or_nothing(folder) as draft:
            add_local_model(draft, name, network, str(RUNS / run))
            entry = measure_local_model(draft, name, held_out, tests)
    except DataError as error:
        print(f"local_model: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"local_model: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    answers = entry.model_dump(mode="json")["answers"]
    print(json.dumps({"folder": str(folder), "local_model": name, "answers": answers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
