"""Train both tails anew on the head of a finished run, taught by a teacher:
``python -m training.fit.distil --run RUN --teacher RUN``.

The head, its rates and the entropy tables stand still, so latents mean what they meant. A teacher
of ``training.fit.teacher`` gives the cloud tail its blocks to begin with (see ``LiteTail``), and
the local tail goes on from the run's. Where the teacher is a run of this module, on the same head,
both tails go on from its own and learn from what the two say together (Furlanello et al., 2018).
The run is ``training/runs/<into>``; killed, it goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys

import torch

from training.data.augment import enlarge
from training.data.datasets import (
    HOLDOUT_SHARE,
    DataError,
    data_path,
    load_fer2013,
    split_off,
)
from training.data.judged import Judged
from training.fit.average import Average
from training.fit.checkpoint import CHECKPOINT
from training.fit.member import CHECKPOINTS, RUNS, member_recipe, trained
from training.fit.start_lite import start_lite
from training.fit.tails_teacher import TailsTeacher, teacher_of
from training.fit.teacher import STRENGTH, Teacher
from training.fit.trainer import Trainer
from training.models.split_model import SplitModel
from training.recipe import Recipe, read_recipe

TAILS = ("local", "cloud")
TEACHER_SHARE = 0.7
RECROPPED = 0.5
OWN_LR = 5e-4  # tails that have been trained on this head already
_FITTED_ON = 512  # faces, for the first decoder


def distil(name: str, recipe: Recipe, train: Judged, held_out: dict[str, Judged]) -> SplitModel:
    """The head of the run that ``recipe`` starts from with tails taught by its teacher, averaged
    weights, trained or found finished, as the run ``name``."""
    trainer = Trainer(recipe, RUNS / name, CHECKPOINTS / name, torch.device("cpu"))
    if not trainer.resume() and isinstance(trainer.teacher, Teacher):
        views = enlarge(torch.from_numpy(train.faces.pictures[:_FITTED_ON]), recipe.stages[0].size)
        start_lite(trainer.model, trainer.teacher, views)
        trainer.average = Average(trainer.model, recipe.average)
    trainer.fit(train, held_out)
    return trained(recipe, name)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--run", required=True, help="the run that made the weights")
    parser.add_argument("--teacher", required=True, metavar="RUN", help="the run that teaches")
    parser.add_argument("--into", metavar="NAME", help="the new run; else <run>-distilled")
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    try:
        data = data_path(arguments.data)
        whole = read_recipe(RUNS / arguments.run / "recipe.toml")
        one = member_recipe(whole, 0, arguments.epochs)
        own = isinstance(teacher_of(CHECKPOINTS / arguments.teacher / CHECKPOINT), TailsTeacher)
        recipe = dataclasses.replace(
            one,
            stages=(
                dataclasses.replace(
                    one.stages[0],
                    parts=TAILS,
                    augment=STRENGTH,
                    recropped=RECROPPED,
                    lr_first=OWN_LR if own else one.stages[0].lr_first,
                ),
            ),
            model=dataclasses.replace(one.model, cloud="lite"),
            start_from=arguments.teacher if own else arguments.run,
            teacher=arguments.teacher,
            teacher_share=TEACHER_SHARE,
        )
        train, held_out = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
        logged = {
            "holdout": Judged.by_fer2013(held_out),
            "public_test": Judged.by_fer2013(load_fer2013(data, "PublicTest")),
        }
        learnt = Judged.by_fer2013(train, recipe.label_smoothing)
        distil(arguments.into or f"{arguments.run}-distilled", recipe, learnt, logged)
    except DataError as error:
        print(f"distil: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("distil: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
