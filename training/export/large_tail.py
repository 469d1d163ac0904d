"""Train the large cloud tail and add it to weights that exist:
``python -m training.export.large_tail``.

The head, its rates and the entropy tables stand still, so a device notices nothing. The tail is an
ensemble of the run's own cloud tail and members that go on from it (or, with ``--tail-of``, from
that of another run, which differs more), each with its own seed; or, with ``--of``, of the cloud
tails of any finished runs that have the head in common. A member is a run like any other
(``training/runs/<run>-member<n>``, or ``-<kind of tail><n>``): it can be killed and goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import DataError, data_path
from training.data.judged import parts
from training.data.votes import votes_or_none
from training.export.calibrate import measure_folder
from training.export.folder import all_or_nothing
from training.export.put_tail import begun_with, check_heads, put_tail
from training.fit.checkpoint import CHECKPOINT
from training.fit.member import CHECKPOINTS, RUNS, member_recipe, train_member
from training.fit.tails_teacher import load_split_model
from training.models.ensemble import Ensemble
from training.recipe import read_recipe

LARGE_TAIL = "large"


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--run", default="split", help="the run that made the weights")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--members", type=int, default=2, help="besides the run's own cloud tail")
    parser.add_argument("--epochs", type=int, default=1, help="of each member")
    parser.add_argument(
        "--tail-of",
        metavar="RUN",
        default="",
        help="members begin as this run's cloud tail, be it of another kind or on another head",
    )
    parser.add_argument("--of", nargs="+", metavar="RUN", help="of these instead, on one head")
    arguments = parser.parse_args()
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        folder = arguments.weights or default_folder()
        Weights(folder)  # fail before the training, not after it
        recipe = read_recipe(RUNS / arguments.run / "recipe.toml")
        train, held_out, _ = parts(data, votes, recipe.label_smoothing)
        names = [arguments.run]
        member, begin = "member", arguments.tail_of
        if begin:
            member = load_split_model(CHECKPOINTS / begin / CHECKPOINT).config.cloud
            recipe = replace(recipe, model=replace(recipe.model, cloud=member))
        for seed in range(1, arguments.members + 1):
            one = member_recipe(recipe, seed, arguments.epochs)
            train_member(
                arguments.run,
                one,
                train,
                held_out,
                member,
                tail_of=begin,
            )
            names.append(f"{arguments.run}-{member}{seed}")
        names = arguments.of or names
        members = [load_split_model(CHECKPOINTS / name / CHECKPOINT) for name in names]
        check_heads(folder, names, members)
        if len({member.config.label_sets for member in members}) > 1:
            raise ValueError("the runs answer different label sets: they have no mean")
        tail = Ensemble([member.cloud_tail for member in members])
        origin = ", ".join(
            name + begun_with(member) for name, member in zip(names, members, strict=True)
        )
        with all_or_nothing(folder) as draft:
            label_sets = members[0].config.label_sets
            put_tail(draft, LARGE_TAIL, tail, f"{RUNS}: {origin}", label_sets)
            manifest = measure_folder(draft, data, votes)
    except DataError as error:
        print(f"large_tail: {error}", file=sys.stderr)
        return 3
    except WeightsError as error:
        print(f"large_tail: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps({"folder": str(folder), "tail": manifest.tails[LARGE_TAIL].model_dump()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
