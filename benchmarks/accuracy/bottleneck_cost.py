"""What the bottleneck costs in accuracy: ``python -m benchmarks bottleneck_cost --data PATH``.

Two cloud tails go on from one run's own, the head standing still: one sees what the decoder makes
of the quantised latents (the code loses nothing after that), the other the features themselves,
without encoder, quantiser and decoder. Seed, faces, views and steps are the same. What is printed
is the difference on PublicTest at the default rate, with its paired bootstrap interval.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.common.bootstrap import difference, points
from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from training.data.augment import enlarge
from training.data.datasets import HOLDOUT_SHARE, Faces, data_path, load_fer2013, split_off
from training.data.judged import Judged
from training.fit.member import RUNS, member_recipe, train_member
from training.models.bottleneck import DEFAULT_RATE
from training.models.split_model import CloudTail, SplitModel
from training.recipe import read_recipe

MEASURED = "PublicTest"
SIZE = 224


class Uncut(SplitModel):
    """The split model whose cloud tail sees the features as they are; not shipped."""

    def cloud(self, crop: Tensor, rate: int = DEFAULT_RATE) -> Tensor:
        """Logits ``(N, 7)``; no rate makes a difference."""
        tail = self.cloud_tail
        assert isinstance(tail, CloudTail)
        logits: Tensor = tail.trunk(tail.attention(self.head.features(crop)))
        return logits


@torch.no_grad()
def right(model: SplitModel, faces: Faces) -> NDArray[np.bool_]:
    """Which faces ``cloud`` labels right at the default rate: bool ``(N,)``."""
    found = []
    for start in range(0, len(faces), 64):
        views = enlarge(torch.from_numpy(faces.pictures[start : start + 64]), SIZE)
        found.append(model.cloud(views).argmax(dim=1).numpy() == faces.labels[start : start + 64])
    return np.concatenate(found)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train both, or find them trained, and compare them."""
    data = data_path(arguments.data)
    recipe = read_recipe(RUNS / arguments.run / "recipe.toml")
    one = member_recipe(recipe, arguments.seed, arguments.epochs)
    train, held_out = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
    measured = load_fer2013(data, MEASURED)
    learnt = Judged.by_fer2013(train, one.label_smoothing)
    logged = {"holdout": Judged.by_fer2013(held_out)}

    kinds: dict[str, type[SplitModel]] = {"member": SplitModel, "uncut": Uncut}
    found = {}
    for name, kind in kinds.items():
        model = train_member(arguments.run, one, learnt, logged, name, kind)
        found[name] = right(model, measured)
    return {
        "benchmark": "bottleneck_cost", "machine": describe_machine(), "usage": MEASURED,
        "run": arguments.run, "seed": arguments.seed, "epochs": arguments.epochs,
        "faces": len(measured),
        "with_bottleneck": round(float(found["member"].mean()), 6),
        "without_bottleneck": round(float(found["uncut"].mean()), 6),
        "with - without": difference(found["member"], found["uncut"]),
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The comparison as text."""
    return (
        f"{result['usage']}, {result['faces']} faces, cloud tail trained {result['epochs']} "
        f"epoch(s) on from `{result['run']}`, {machine_line(result['machine'])}\n"
        f"with encoder, quantiser and decoder  {result['with_bottleneck']:.2%}\n"
        f"without them                         {result['without_bottleneck']:.2%}\n"
        f"difference                           {points(result['with - without'])}"
    )


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--run", required=True, help="the run that made the weights")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1, help="of each tail")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if not (RUNS / arguments.run / "recipe.toml").is_file():
        parser.error(f"no run {arguments.run!r} in {RUNS}")
    try:
        return finish(arguments, report, table)
    except ValueError as error:  # no checkpoint: only who trained the run can go on from it
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
