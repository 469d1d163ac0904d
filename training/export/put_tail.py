"""Put the tails of finished runs into weights that exist:
``python -m training.export.put_tail --of RUN``.

The head and the latent stand still, so a device notices nothing. Of several runs that went on from
one another the mean of the weights is put, which is better than each where they lie in one valley
of the loss (Wortsman et al., 2022).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.golden import golden_names
from splitfer.shared.weights.manifest import LOCAL_TAIL, RateEntry
from training.data.datasets import DataError, data_path
from training.data.votes import votes_or_none
from training.export.calibrate import measure_folder
from training.export.folder import all_or_nothing, golden_arrays, unmeasured, write_tails
from training.export.onnx import (
    FER2013_ALONE,
    ExportedCloudTail,
    by_label_set,
    export_cloud_tail,
    export_crop_classifier,
    export_local_tail,
)
from training.fit.checkpoint import CHECKPOINT
from training.fit.member import CHECKPOINTS, RUNS
from training.fit.tails_teacher import load_split_model
from training.fit.teacher import NETWORK
from training.models.crop_classifier import CropClassifier
from training.models.split_model import SplitModel

TAILS = (LOCAL_TAIL, "cloud")


def mean_of(models: Sequence[SplitModel]) -> SplitModel:
    """The first model with the mean weights and statistics of all.

    Raises:
        ValueError: they are not of one architecture.
    """
    states = [model.state_dict() for model in models]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    if any(one != shapes[0] for one in shapes):
        raise ValueError("the runs are of different networks: only like weights have a mean")
    for name, tensor in states[0].items():
        if tensor.is_floating_point():
            tensor.copy_(torch.stack([state[name] for state in states]).mean(dim=0))
    return models[0]


@torch.no_grad()
def check_heads(folder: Path, runs: Sequence[str], models: Sequence[SplitModel]) -> None:
    """Return where the tails of ``models``, of these runs, are for the head of ``folder``.

    Raises:
        WeightsError: the folder is not to be used.
        ValueError: a run has another head; the message names it.
    """
    weights = Weights(folder)
    crops = weights.golden.crops
    shipped = [torch.from_numpy(array) for array in weights.head(1).run(crops)]
    for run, model in zip(runs, models, strict=True):
        own = model.head(torch.from_numpy(crops).unsqueeze(1))
        if not all(torch.allclose(a, b, atol=0.02) for a, b in zip(own, shipped, strict=True)):
            raise ValueError(
                f"the run {run} has another head than the weights {weights.manifest.fingerprint}: "
                "its tails do not fit"
            )


def begun_with(model: SplitModel) -> str:
    """What else the cloud tail has in it, for its origin."""
    if model.config.cloud in ("lite", "ensemble"):
        return f" (begun with {NETWORK}'s weights of ImageNet)"
    return ""


def put_tail(
    folder: Path,
    name: str,
    tail: nn.Module,
    origin: str,
    label_sets: Sequence[str] = FER2013_ALONE,
) -> None:
    """Write ``tail`` with golden logits and where it comes from; replaces one of the same name.

    The one called ``local`` takes features, a ``CropClassifier`` crops, every other one ``y_hat``;
    its logits are of ``label_sets``, one after the other. Nothing is measured: the temperatures are
    1.

    Raises:
        ValueError: its logits are not as many as these label sets have, or they have none in common
            with the folder's other tails.
    """
    weights = Weights(folder)
    manifest = weights.manifest
    of_crops = isinstance(tail, CropClassifier)
    local = name == LOCAL_TAIL or of_crops
    with torch.no_grad():
        if of_crops:
            flat, data = (
                _crop_logits(weights, tail.eval()),
                export_crop_classifier(tail, label_sets),
            )
        elif local:
            flat, data = _local_logits(weights, tail.eval()), export_local_tail(tail, label_sets)
        else:
            flat, data = _cloud_logits(weights, tail.eval()), export_cloud_tail(tail, label_sets)
    logits = by_label_set(flat.numpy(), label_sets)
    arrays = golden_arrays(weights)
    entry = unmeasured(name, AnswerPath.LOCAL if local else AnswerPath.CLOUD, label_sets)
    if (before := manifest.tails.get(name)) is not None:
        for key in golden_names(name, before).values():
            del arrays[key]
    for label_set, rows in logits.items():
        arrays[golden_names(name, entry)[label_set]] = rows
    rates = [rate.model_copy(update=_without(rate, name)) for rate in manifest.rates]
    manifest = manifest.model_copy(
        update={
            "tails": {**manifest.tails, name: entry},
            "rates": tuple(rates),
            "origin": {**manifest.origin, name: origin},
        }
    )
    write_tails(folder, manifest, {name: data}, arrays)


def _without(rate: RateEntry, tail: str) -> dict[str, Any]:
    """What a rate says of all but this tail; of every tail where it is the local one, for nothing
    was measured together with it."""
    together = {} if tail == LOCAL_TAIL else {k: v for k, v in rate.together.items() if k != tail}
    return {
        "answers": {name: found for name, found in rate.answers.items() if name != tail},
        "together": together,
    }


def _local_logits(weights: Weights, tail: nn.Module) -> Tensor:
    features, _ = weights.head(1).run(weights.golden.crops)
    logits: Tensor = tail(torch.from_numpy(features))
    return logits


def _crop_logits(weights: Weights, tail: nn.Module) -> Tensor:
    logits: Tensor = tail(torch.from_numpy(weights.golden.crops)[:, None])
    return logits


def _cloud_logits(weights: Weights, tail: nn.Module) -> Tensor:
    step = torch.from_numpy(weights.quantiser.steps(weights.rate_index(""))).expand(2, -1)
    return ExportedCloudTail(tail)(torch.from_numpy(weights.golden.latents), step)  # type: ignore[no-any-return]


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--of", nargs="+", required=True, metavar="RUN", help="of their mean")
    parser.add_argument("--tail", nargs="+", choices=TAILS, default=TAILS, help="else both")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    arguments = parser.parse_args()
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        folder = arguments.weights or default_folder()
        models = [load_split_model(CHECKPOINTS / name / CHECKPOINT) for name in arguments.of]
        check_heads(folder, arguments.of, models)
        model = mean_of(models)
        origin = " and ".join(str(RUNS / name) for name in arguments.of)
        with all_or_nothing(folder) as draft:
            for name in arguments.tail:
                network = model.local_tail if name == LOCAL_TAIL else model.cloud_tail
                begun = "" if name == LOCAL_TAIL else begun_with(model)
                put_tail(draft, name, network, origin + begun, model.config.label_sets)
            manifest = measure_folder(draft, data, votes)
    except DataError as error:
        print(f"put_tail: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"put_tail: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    accuracy = {
        name: {one: found.accuracy for one, found in manifest.tails[name].answers.items()}
        for name in arguments.tail
    }
    print(json.dumps({"folder": str(folder), "accuracy": accuracy}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
