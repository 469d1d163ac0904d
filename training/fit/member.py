"""A cloud tail that goes on from a finished run, whose head stands still.

Each is a run of its own (``training/runs/<run>-<name>``): it can be killed and goes on.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from training.data.judged import Judged
from training.fit.average import Average
from training.fit.checkpoint import CHECKPOINT, averaged_weights
from training.fit.trainer import Trainer
from training.models.split_model import SplitModel
from training.recipe import Recipe, Stage

RUNS, CHECKPOINTS = Path("training/runs"), Path(".checkpoints")
_CLOUD = "cloud_tail."


def member_recipe(whole: Recipe, seed: int, epochs: int) -> Recipe:
    """How one member goes on: the cloud tail alone, at the size it is used at."""
    stage = Stage(
        size=224,
        epochs=epochs,
        lr_first=1e-3,
        lr_last=5e-6,
        parts=("cloud",),
        batch=64,
        warm_up_steps=60,
        augment=whole.stages[-1].augment,
        recropped=whole.stages[-1].recropped,
    )
    return dataclasses.replace(whole, seed=seed, stages=(stage,), start_from="", mutual=0.0)


def train_member(
    run: str,
    recipe: Recipe,
    train: Judged,
    held_out: dict[str, Judged],
    name: str = "member",
    kind: type[SplitModel] = SplitModel,
    tail_of: str = "",
) -> SplitModel:
    """``run`` with the member's cloud tail, averaged weights, trained or found finished. It begins
    as the one of the run ``tail_of``, else as that of ``run``."""
    name = f"{run}-{name}{recipe.seed}"
    member = Trainer(recipe, RUNS / name, CHECKPOINTS / name, torch.device("cpu"), kind)
    if not member.resume():
        weights = averaged_weights(CHECKPOINTS / run / CHECKPOINT)
        if tail_of:
            other = averaged_weights(CHECKPOINTS / tail_of / CHECKPOINT)
            weights = {k: v for k, v in weights.items() if not k.startswith(_CLOUD)} | {
                k: v for k, v in other.items() if k.startswith(_CLOUD)
            }
        member.model.load_state_dict(weights)
        member.average = Average(member.model, recipe.average)
    member.fit(train, held_out)
    return trained(recipe, name, kind)


def trained(recipe: Recipe, run: str, kind: type[SplitModel] = SplitModel) -> SplitModel:
    """A run's network with its averaged weights, for inference."""
    model = kind(recipe.model)
    model.load_state_dict(averaged_weights(CHECKPOINTS / run / CHECKPOINT))
    return model.eval()
