"""Train the split model by a recipe: ``python -m training.fit.train --data PATH --run NAME``.

A run can be killed at any moment and started again with the same command: it goes on from its
last checkpoint with the same order and the same views. The log stands in
``training/runs/NAME/log.jsonl``, checkpoints in ``.checkpoints/NAME`` (not committed).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from pathlib import Path

import torch

from training.data.datasets import DataError, data_path
from training.data.judged import parts
from training.data.votes import votes_path
from training.fit.budget import add_minutes
from training.fit.device import training_device
from training.fit.origin import say_finished
from training.fit.trainer import Trainer
from training.recipe import Recipe, read_recipe


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--recipe", type=Path, default=Path("training/recipes/base.toml"))
    parser.add_argument("--run", default="base", help="name of the run")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    add_minutes(parser)
    arguments = parser.parse_args()

    try:
        recipe = read_recipe(arguments.recipe)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        _train(arguments, recipe)
    except DataError as error:
        print(f"train: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _train(arguments: argparse.Namespace, recipe: Recipe) -> None:
    torch.set_num_threads(arguments.threads)
    needs_votes = "crowd" in recipe.model.label_sets
    train, held_out, left_out = parts(
        data_path(arguments.data),
        votes_path(arguments.votes) if needs_votes else None,
        recipe.label_smoothing,
    )

    run = Path("training/runs") / arguments.run
    try:
        device = training_device()
        trainer = Trainer(recipe, run, Path(".checkpoints") / arguments.run, device)
        resumed = trainer.resume()
    except ValueError as error:  # the device, a run that it starts from, or its teacher is missing
        print(f"train: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    if arguments.recipe.resolve() != (run / "recipe.toml").resolve():
        shutil.copyfile(arguments.recipe, run / "recipe.toml")
    if arguments.minutes and not resumed:
        trainer.fit_into(arguments.minutes, train)
    start = {
        "resumed": resumed, "device": str(device), "machine": platform.processor() or "unknown",
        "epochs": [stage.epochs for stage in trainer.recipe.stages],
        "torch": torch.__version__, "train": len(train), "left_out": left_out,
        "command": f"python -m training.fit.train --recipe {arguments.recipe} "
        f"--run {arguments.run}",
    }  # fmt: skip
    with trainer.log.open("a") as file:
        file.write(json.dumps(start) + "\n")
    nothing_left = trainer.finished
    trainer.fit(train, held_out)
    if nothing_left:
        done = ", ".join(str(stage.epochs) for stage in trainer.recipe.stages)
        say_finished(trainer.checkpoint, done)


if __name__ == "__main__":
    sys.exit(main())
