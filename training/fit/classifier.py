"""Train a small classifier of the papers' on pictures alone:
``python -m training.fit.classifier --model edgecnn --data PATH --votes FILE --run NAME``.

It learns every label set that the faces are judged by. With ``--teacher FOLDER`` of weights a
part of each label is what their local tail says of the picture and its mirror image. With
``--prune 0.5`` half of its weights are zero at the end, more of them after each step; learned
group convolutions (EdgeCNN-G) drop their inputs in stages over the first half.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

from splitfer.shared.errors import WeightsError
from training.data.datasets import DataError, data_path
from training.data.judged import parts
from training.data.votes import votes_or_none
from training.fit.budget import add_minutes
from training.fit.classifier_trainer import LABEL_SMOOTHING, ClassifierTrainer
from training.fit.origin import say_finished
from training.fit.taught import taught_by
from training.models.family import CLASSIFIERS


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=CLASSIFIERS, required=True)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--run", help="name of the run (the model's)")
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FOLDER",
        help="weights whose answers are a part of each label",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prune", type=float, default=0.0, metavar="SHARE", help="of the weights")
    parser.add_argument("--start-from", default="", metavar="RUN", help="else from nothing")
    parser.add_argument("--bf16", action="store_true", help="where the processor has it: faster")
    add_minutes(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        train, held_out, _ = parts(data, votes, LABEL_SMOOTHING)
        taught = (
            taught_by(arguments.teacher, train, arguments.threads) if arguments.teacher else None
        )
        trainer = ClassifierTrainer(
            arguments.model,
            arguments.run or arguments.model,
            train,
            taught,
            arguments.bf16,
            arguments.prune,
            arguments.start_from,
        )
        if not trainer.resume(None if arguments.minutes else arguments.epochs):
            trainer.plan(arguments.epochs, arguments.minutes)
        if trainer.finished:
            say_finished(trainer.checkpoint, trainer.planned)
        trainer.fit(held_out, arguments.minutes, arguments.epochs)
    except ValueError as error:
        parser.error(str(error))
    except DataError as error:
        print(f"classifier: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"classifier: {error}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print("classifier: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
