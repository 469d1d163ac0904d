"""Train the large cloud tail and add it to weights that exist: ``python -m training.large_tail``.

The head, its rates and the entropy tables stand still, so a device notices nothing. The tail is an
ensemble: the run's own cloud tail, members that go on from it, each with its own seed, and with
``--teacher`` one that begins as the later blocks of a teacher and is taught by it. A member is a
run like any other (``training/runs/<run>-member<n>``, ``<run>-lite``): killed, it goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shared.contracts import Path as AnswerPath
from shared.errors import WeightsError
from shared.models.ensemble import Ensemble
from shared.models.split_model import SplitModel
from shared.weights import Weights, default_folder
from shared.weights.manifest import FileEntry, TailEntry
from training.augment import enlarge
from training.average import Average
from training.calibrate import complete_manifest, unseen
from training.checkpoint import CHECKPOINT, averaged_weights
from training.datasets import (
    HOLDOUT_SHARE,
    DataError,
    Faces,
    data_path,
    load_fer2013,
    split_off,
)
from training.lite_tail import LiteModel, start_lite
from training.onnx_models import ExportedCloudTail, export_cloud_tail
from training.recipe import Recipe, Stage, read_recipe
from training.teacher import NETWORK, load_teacher
from training.train import Trainer

LARGE_TAIL = "large"
_FITTED_ON = 512  # faces, for the first decoder of a teacher's tail
RUNS, CHECKPOINTS = Path("training/runs"), Path(".checkpoints")


def member_recipe(whole: Recipe, seed: int, epochs: int) -> Recipe:
    """How one member goes on: the cloud tail alone, at the size it is used at."""
    stage = Stage(
        size=224, epochs=epochs, lr_first=1e-3, lr_last=5e-6, parts=("cloud",), batch=64,
        warm_up_steps=60, augment=whole.stages[-1].augment,
    )  # fmt: skip
    return dataclasses.replace(whole, seed=seed, stages=(stage,), start_from="", mutual=0.0)


def train_member(
    run: str, recipe: Recipe, train: Faces, held_out: dict[str, Faces], name: str = "member",
    kind: type[SplitModel] = SplitModel,
) -> SplitModel:  # fmt: skip
    """``run`` with the member's cloud tail, averaged weights, trained or found finished."""
    name = f"{run}-{name}{recipe.seed}"
    member = Trainer(recipe, RUNS / name, CHECKPOINTS / name, torch.device("cpu"), kind)
    if not member.resume():
        member.model.load_state_dict(averaged_weights(CHECKPOINTS / run / CHECKPOINT))
        member.average = Average(member.model, recipe.average)
    member.fit(train, held_out)
    return trained(recipe, name, kind)


def train_lite(
    run: str, recipe: Recipe, teacher: str, train: Faces, held_out: dict[str, Faces]
) -> SplitModel:  # fmt: skip
    """``run`` with a cloud tail from the run ``teacher``, averaged weights, trained or found
    finished."""
    name = f"{run}-lite"
    recipe = dataclasses.replace(recipe, start_from=run, teacher=teacher, teacher_share=0.7)
    member = Trainer(recipe, RUNS / name, CHECKPOINTS / name, torch.device("cpu"), LiteModel)
    if not member.resume():
        views = enlarge(torch.from_numpy(train.pictures[:_FITTED_ON]), recipe.stages[0].size)
        start_lite(member.model, load_teacher(CHECKPOINTS / teacher / CHECKPOINT), views)
        member.average = Average(member.model, recipe.average)
    member.fit(train, held_out)
    return trained(recipe, name, LiteModel)


def add_tail(folder: Path, name: str, tail: nn.Module, origin: str) -> None:
    """Write ``tail`` beside the others, with golden logits and where it comes from; replaces one
    of the same name."""
    weights = Weights(folder)
    manifest, golden = weights.manifest, weights.golden
    data = export_cloud_tail(tail)
    step = torch.from_numpy(weights.quantiser.steps(weights.rate_index(""))).expand(2, -1)
    with torch.no_grad():
        logits = ExportedCloudTail(tail.eval())(torch.from_numpy(golden.latents), step).numpy()
    with np.load(io.BytesIO((folder / manifest.golden.file).read_bytes())) as file:
        arrays = {key: file[key] for key in file.files}
    packed = io.BytesIO()
    np.savez_compressed(packed, **{**arrays, f"logits_{name}": logits})

    (folder / f"{name}.onnx").write_bytes(data)
    (folder / manifest.golden.file).write_bytes(packed.getvalue())
    entry = TailEntry(
        file=f"{name}.onnx", sha256=hashlib.sha256(data).hexdigest(), path=AnswerPath.CLOUD,
        temperature=1.0, accuracy={},
    )  # fmt: skip
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    manifest = manifest.model_copy(update={
        "tails": {**manifest.tails, name: entry},
        "golden": FileEntry(file=manifest.golden.file, sha256=sha256),
        "origin": {**manifest.origin, name: origin},
    })  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")


def trained(recipe: Recipe, run: str, kind: type[SplitModel] = SplitModel) -> SplitModel:
    """A run's network with its averaged weights, for inference."""
    model = kind(recipe.model)
    model.load_state_dict(averaged_weights(CHECKPOINTS / run / CHECKPOINT))
    return model.eval()


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--run", default="split", help="the run that made the weights")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--members", type=int, default=2, help="besides the run's own cloud tail")
    parser.add_argument("--epochs", type=int, default=1, help="of each member")
    parser.add_argument("--teacher", metavar="RUN", help="of training.teacher: one member from it")
    parser.add_argument("--teacher-epochs", type=int, default=8, help="of that member")
    arguments = parser.parse_args()
    try:
        data = data_path(arguments.data)
        folder = arguments.weights or default_folder()
        Weights(folder)  # fail before the training, not after it
        recipe = read_recipe(RUNS / arguments.run / "recipe.toml")
        train, held_out = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
        public_test = {"PublicTest": load_fer2013(data, "PublicTest")}
        members, runs = [trained(recipe, arguments.run).cloud_tail], [arguments.run]
        for seed in range(1, arguments.members + 1):
            one = member_recipe(recipe, seed, arguments.epochs)
            member = train_member(arguments.run, one, train, {"holdout": held_out})
            members.append(member.cloud_tail)
            runs.append(f"{arguments.run}-member{seed}")
        if arguments.teacher:
            one = member_recipe(recipe, 0, arguments.teacher_epochs)
            member = train_lite(arguments.run, one, arguments.teacher, train, {"holdout": held_out})
            members.append(member.cloud_tail)
            runs.append(f"{arguments.run}-lite (begun with {NETWORK}'s weights of ImageNet)")
    except DataError as error:
        print(f"large_tail: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"large_tail: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    add_tail(folder, LARGE_TAIL, Ensemble(members), f"{RUNS}: {', '.join(runs)}")
    manifest = complete_manifest(folder, unseen(held_out, train), public_test)
    print(json.dumps({"folder": str(folder), "tail": manifest.tails[LARGE_TAIL].model_dump()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
