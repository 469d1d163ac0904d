"""Paper 001's ablations on a small budget:
``python -m training.study.ablate --data PATH --votes VOTES --table 2``.

What is trained is paper 001's cloud tail (decoder, attention, the remaining stages), from random
weights, on latents that the head of the product's weights made of random views beforehand. So maps
are 28x28 as in the paper, and a run takes minutes. Runs of one seed share what all variants have at
first, the order of the faces and the views, so variants are compared seed by seed and face by face.
A finished run is one line of ``training/ablations/runs.jsonl`` and is not made again; the report in
``docs/model/ablation.md`` is written from those lines alone (``--report`` does only that).
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from splitfer.shared.errors import SplitFerError
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from splitfer.shared.weights.store import default_folder
from training.data.datasets import DataError, data_path
from training.data.judged import LEFT_OUT, Judged, parts
from training.data.votes import votes_path
from training.fit.losses import by_label_set, cross_entropy, targets_of
from training.models.bottleneck import Decoder
from training.models.shufflenet_v2 import STAGE2_CHANNELS, Trunk
from training.models.split_model import LABEL_SETS, CloudTail, SplitConfig, attention
from training.study.ablation import (
    NOT_ASKED,
    RUNS,
    STUDIES,
    Budget,
    Right,
    Run,
    Study,
    append_run,
    read_runs,
)
from training.study.ablation_report import write_report
from training.study.latents import Latents, plain_latents, random_latents
from training.study.trained_tail import held, trained_tail

WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
WARM_UP_SHARE = 0.15
MEASURED = "PublicTest"
CACHE = Path(".checkpoints/ablation")
# Faces that a module's mean is taken over.
_MEANS_OF = 512
# Of each label set in the loss.
_LABEL_WEIGHTS = tuple(1.0 if name == "crowd" else 0.5 for name in LABEL_SETS)


@dataclass(frozen=True)
class Seen:
    """Faces, and what their views look like from the cloud."""

    judged: Judged
    latents: Latents


class Network(nn.Module):
    """Decoder, attention, trunk: ``y_hat`` ``(N, 8, H, W)`` -> logits ``(N, 7 L)``."""

    def __init__(self, config: SplitConfig, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        # In this order: what all variants have is drawn before what only some have.
        self.decoder, self.trunk = Decoder(STAGE2_CHANNELS), Trunk(config.outputs)
        self.attention = attention(config)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, 7 L)``."""
        logits: Tensor = self.trunk(self.attention(self.decoder(y_hat)))
        return logits


def train(
    config: SplitConfig,
    budget: Budget,
    seed: int,
    training: Seen,
    measured: Seen,
    name: str,
    start: CloudTail | None = None,
) -> Run:
    """One run: AdamW, one cycle of the learning rate, then the answers to single views. It begins
    as ``start`` where that is given, else at random."""
    started = time.process_time()
    network = copy.deepcopy(start) if start else Network(config, seed)
    network.train()
    # torch's stub of Module.to knows no memory_format.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    values, targets = training.latents.values, targets_of(training.judged, config.label_sets)
    generator = torch.Generator().manual_seed(seed)
    steps = max(1, budget.epochs * (len(targets) // budget.batch))
    optimiser = torch.optim.AdamW(network.parameters(), lr=budget.lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, budget.lr, total_steps=steps, pct_start=WARM_UP_SHARE, cycle_momentum=False
    )
    losses: list[float] = []
    bar = tqdm(total=steps, desc=name, unit="batch", mininterval=5, disable=None)
    for _ in range(budget.epochs):
        order = torch.randperm(len(targets), generator=generator)
        for chosen in torch.split(order, budget.batch):
            if len(chosen) < budget.batch:
                continue
            view = torch.randint(len(values), (len(chosen),), generator=generator)
            y_hat = _y_hat(values[view.numpy(), chosen.numpy()], training.latents.steps)
            torch.manual_seed(len(losses))  # dropout's draws: the same for every variant
            with torch.autocast("cpu", torch.bfloat16, enabled=budget.precision == "bfloat16"):
                logits = network(y_hat)
            loss = cross_entropy(logits.float(), targets[chosen], _LABEL_WEIGHTS)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            bar.update()
    bar.close()
    return Run(
        config,
        budget,
        seed,
        measure(network, config, measured),
        loss=round(float(np.mean(losses[-len(losses) // 10 :])), 4) if losses else None,
        parameters=sum(p.numel() for p in network.parameters()),
        cpu_s=round(time.process_time() - started, 1),
        torch=torch.__version__,
    )


@torch.no_grad()
def measure(network: nn.Module, config: SplitConfig, seen: Seen) -> dict[str, Right]:
    """By label set, which answers are right, of the faces that count in it."""
    network.eval()
    answered = [
        by_label_set(network(_y_hat(values, seen.latents.steps))).argmax(dim=2).numpy()
        for values in np.array_split(seen.latents.values[0], -(-len(seen.judged) // 256))
    ]
    answers = np.concatenate(answered)
    found = {}
    for column, (label_set, labels) in enumerate(
        (one, seen.judged.labels[one]) for one in map(LabelSet, config.label_sets)
    ):
        counted = labels != LEFT_OUT
        found[label_set.value] = Right.of((answers[:, column] == labels)[counted])
    return found


def _y_hat(values: NDArray[np.int8], steps: NDArray[np.float32]) -> Tensor:
    """What symbols stand for: ``(N, 8, H, W)``, channels last."""
    y_hat = torch.from_numpy(values).float() * torch.from_numpy(steps)[:, None, None]
    return y_hat.contiguous(memory_format=torch.channels_last)


def run_study(
    study: Study,
    budget: Budget,
    seeds: range,
    weights: Weights,
    data: Path,
    votes: Path,
    results: Path,
) -> None:
    """Make the runs of a study that are not in ``results`` yet, seed by seed."""
    wanted = [(v, budget, seed) for seed in seeds for v in study.variants]
    done = read_runs(results)
    missing = [w for w in wanted if (w[0].config, *w[1:]) not in done]
    print(f"{study.title}: {len(wanted) - len(missing)} of {len(wanted)} runs are there")
    if not missing:
        return
    training, measured = seen(weights, budget, data, votes)
    start = _start(weights, study.start, training) if study.start else None
    for at, (variant, _, seed) in enumerate(missing, start=1):
        name = f"{at}/{len(missing)} {variant.name}, seed {seed}"
        begun = start(variant.config) if start else None
        run = train(variant.config, budget, seed, training, measured, name, begun)
        append_run(results, run)
        shares = ", ".join(f"{one} {run.accuracy(one):.2%}" for one in run.right)
        print(f"{name}: {shares}; {run.cpu_s:.0f} s of processor time", flush=True)


def _start(weights: Weights, tail: str, training: Seen) -> Callable[[SplitConfig], CloudTail]:
    """Gives each network its first weights: those of a tail that is trained."""
    y_hat = _y_hat(training.latents.values[0, :_MEANS_OF], training.latents.steps)
    trained = trained_tail(weights, tail, y_hat)
    return lambda config: held(trained, set(config.modules.split("+")), y_hat)


def seen(weights: Weights, budget: Budget, data: Path, votes: Path) -> tuple[Seen, Seen]:
    """What is learnt from (no copy of a face that is measured), and what is measured.

    Raises:
        DataError: data or votes are not as they should be, or the faces fill no batch.
    """
    threads = torch.get_num_threads()
    learnt, measured, _ = parts(data, votes, LABEL_SMOOTHING)
    if budget.faces:
        order = np.random.default_rng(0).permutation(len(learnt))
        learnt = learnt.subset(order < budget.faces)
    if len(learnt) < budget.batch:
        raise DataError(
            f"{len(learnt)} faces to learn from are less than a batch of {budget.batch}"
        )
    views = random_latents(weights, learnt.faces, budget.views, budget.augment, CACHE, threads)
    test = measured["public_test"]
    return Seen(learnt, views), Seen(test, plain_latents(weights, test.faces, threads))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv")
    parser.add_argument("--weights", type=Path, help="folder; their head makes the latents")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--table", type=int, choices=(2, 3))
    which.add_argument("--figure", type=int, choices=(7,))
    which.add_argument(
        "--trained", action="store_true", help="modules of the weights' own tail, held still"
    )
    which.add_argument("--report", action="store_true", help="write the report, train nothing")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="so that two processes can share a study"
    )
    for part in fields(Budget):
        if part.name in NOT_ASKED:
            continue
        parser.add_argument(
            f"--{part.name}",
            type=type(part.default),
            default=part.default,
            help=f"default {part.default}",
        )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=Path, default=RUNS)
    parser.add_argument(
        "--docs", type=Path, default=Path("docs/model"), help="where the report goes"
    )
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("at least 1 seed, and 2 for a report: one shows no spread")
    return arguments


def _budget(arguments: argparse.Namespace, weights: Weights, study: Study) -> Budget:
    asked = {f.name: getattr(arguments, f.name) for f in fields(Budget) if f.name not in NOT_ASKED}
    return Budget(weights=weights.manifest.fingerprint, start=study.start, **asked)


def main() -> int:
    """Command line; gives the exit code."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    flag = f"--figure {arguments.figure}" if arguments.figure else f"--table {arguments.table or 2}"
    flag = "--trained" if arguments.trained else flag
    study = next(s for s in STUDIES if s.flag == flag)
    try:
        if not arguments.report:
            data, votes = data_path(arguments.data), votes_path(arguments.votes)
            weights = Weights(arguments.weights or default_folder())
            budget = _budget(arguments, weights, study)
            first = arguments.first_seed
            seeds = range(first, first + arguments.seeds)
            run_study(study, budget, seeds, weights, data, votes, arguments.results)
        print(write_report(arguments.results, arguments.docs))
    except (DataError, SplitFerError, ValueError) as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("ablate: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
