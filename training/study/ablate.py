"""Paper 001's ablations on a small budget:
``python -m training.study.ablate --data PATH --table 2``.

Stem, attention and trunk alone, from random weights, without the bottleneck, as the paper trains
them. Runs of one seed share their first stem and trunk, the order of the pictures and the views,
so variants are compared seed by seed. A finished run is one line of
``training/ablations/runs.jsonl`` and is not made again; the report in ``docs/model/ablation.md`` is
written from those lines alone (``--report`` does only that).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from training.data.augment import enlarge, random_views
from training.data.datasets import DataError, Faces, data_path, load_fer2013
from training.models.shufflenet_v2 import Stem, Trunk
from training.models.split_model import PIXEL_MEAN, PIXEL_STD, SplitConfig, attention
from training.study.ablation import RUNS, STUDIES, Budget, Run, Study, append_run, read_runs
from training.study.ablation_report import write_report

WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
WARM_UP_SHARE = 0.15
MEASURED = "PublicTest"


class Network(nn.Module):
    """Stem, attention, trunk: grey ``(N, 1, H, W)`` in 0..255 -> logits ``(N, 7)``."""

    def __init__(self, config: SplitConfig, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        # In this order: what all variants have is drawn before what only some have.
        self.stem, self.trunk = Stem(), Trunk(config.classes)
        self.attention = attention(config)

    def forward(self, grey: Tensor) -> Tensor:
        """Logits ``(N, 7)``."""
        picture = ((grey - PIXEL_MEAN) / PIXEL_STD).expand(-1, 3, -1, -1)
        picture = picture.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.trunk(self.attention(self.stem(picture)))
        return logits


def train(
    config: SplitConfig, budget: Budget, seed: int, training: Faces, measured: Faces, name: str
) -> Run:
    """One run: AdamW, one cycle of the learning rate, then the single-view accuracy."""
    started = time.process_time()
    network = Network(config, seed)
    # torch's stub of Module.to knows no memory_format.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures, labels = torch.from_numpy(training.pictures), torch.from_numpy(training.labels)
    generator = torch.Generator().manual_seed(seed)
    steps = budget.epochs * (len(labels) // budget.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=budget.lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, budget.lr, total_steps=steps, pct_start=WARM_UP_SHARE, cycle_momentum=False
    )
    losses: list[float] = []
    bar = tqdm(total=steps, desc=name, unit="batch", mininterval=5, disable=None)
    for _ in range(budget.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for chosen in torch.split(order, budget.batch):
            if len(chosen) < budget.batch:
                continue
            views = random_views(pictures[chosen], budget.size, generator, budget.augment)
            torch.manual_seed(len(losses))  # dropout's draws: the same for every variant
            logits = network(views)
            loss = F.cross_entropy(logits, labels[chosen], label_smoothing=LABEL_SMOOTHING)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            bar.update()
    bar.close()
    accuracy = measure(network, budget, measured)
    return Run(
        config,
        budget,
        seed,
        round(accuracy, 5),
        len(measured),
        loss=round(float(np.mean(losses[-len(losses) // 10 :])), 4),
        parameters=sum(p.numel() for p in network.parameters()),
        cpu_s=round(time.process_time() - started, 1),
        torch=torch.__version__,
    )


@torch.no_grad()
def measure(network: Network, budget: Budget, faces: Faces) -> float:
    """Share of right answers on plain views."""
    network.eval()
    right = 0
    for start in range(0, len(faces), 256):
        views = enlarge(torch.from_numpy(faces.pictures[start : start + 256]), budget.size)
        labels = torch.from_numpy(faces.labels[start : start + 256])
        right += int((network(views).argmax(dim=1) == labels).sum())
    return right / len(faces)


def run_study(study: Study, budget: Budget, seeds: int, data: Path, results: Path) -> None:
    """Make the runs of a study that are not in ``results`` yet, seed by seed."""
    wanted = [(v, budget, seed) for seed in range(seeds) for v in study.variants]
    done = read_runs(results)
    missing = [w for w in wanted if (w[0].config, *w[1:]) not in done]
    print(f"{study.title}: {len(wanted) - len(missing)} of {len(wanted)} runs are there")
    if not missing:
        return
    training, measured = load_fer2013(data, "Training"), load_fer2013(data, MEASURED)
    if budget.faces:
        order = np.random.default_rng(0).permutation(len(training))
        training = training.subset(order < budget.faces)
    if len(training) < budget.batch:
        raise DataError(
            f"{len(training)} faces to learn from are less than a batch of {budget.batch}"
        )
    for at, (variant, _, seed) in enumerate(missing, start=1):
        name = f"{at}/{len(missing)} {variant.name}, seed {seed}"
        run = train(variant.config, budget, seed, training, measured, name)
        append_run(results, run)
        print(f"{name}: {run.accuracy:.2%}, {run.cpu_s:.0f} s of processor time", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--table", type=int, choices=(2, 3))
    which.add_argument("--figure", type=int, choices=(7,))
    which.add_argument("--report", action="store_true", help="write the report, train nothing")
    parser.add_argument("--seeds", type=int, default=3)
    for part in fields(Budget):
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
    if arguments.seeds < 2:
        parser.error("at least 2 seeds: one shows no spread")
    try:
        arguments.budget = Budget(**{f.name: getattr(arguments, f.name) for f in fields(Budget)})
    except ValueError as error:
        parser.error(str(error))
    return arguments


def main() -> int:
    """Command line; gives the exit code."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    flag = f"--figure {arguments.figure}" if arguments.figure else f"--table {arguments.table or 2}"
    study = next(s for s in STUDIES if s.flag == flag)
    try:
        if not arguments.report:
            data = data_path(arguments.data)
            run_study(study, arguments.budget, arguments.seeds, data, arguments.results)
        print(write_report(arguments.results, arguments.docs))
    except (DataError, ValueError) as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("ablate: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
