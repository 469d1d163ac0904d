"""Train a small classifier of the papers' on pictures alone:
``python -m training.fit.classifier --model edgecnn --data PATH --votes FILE --run NAME``.

It learns every label set that the faces are judged by. With ``--teacher FOLDER`` of weights a
part of each label is what their local tail says of the picture and its mirror image.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import softmax
from splitfer.shared.whole_file import write_whole
from training.data.augment import degraded, enlarge, random_views
from training.data.datasets import DataError, data_path
from training.data.judged import Judged, parts
from training.data.votes import votes_or_none
from training.fit.average import Average
from training.fit.budget import add_minutes, scaled_epochs, step_seconds
from training.fit.checkpoint import CHECKPOINT
from training.fit.decay import decay_groups
from training.fit.device import training_device
from training.models.edgecnn import SIZE_PX, EdgeCNN

MODELS: dict[str, type[nn.Module]] = {"edgecnn": EdgeCNN}
# A view is made of the whole picture, and a window of the network's size is cut out of it.
VIEW_PX = 48
BATCH, LR, MOMENTUM, WEIGHT_DECAY, WARM_UP_EPOCHS, DECAY = 128, 0.08, 0.9, 5e-4, 1.0, 0.998
STRENGTH, DEGRADED, LABEL_SMOOTHING, TEACHER_SHARE = 0.7, 0.15, 0.1, 0.6
WEIGHTS = {LabelSet.CROWD: 1.0, LabelSet.FER2013: 0.8}


class ClassifierTrainer:
    """One run of a classifier, which goes on after its last whole epoch."""

    def __init__(
        self, model: str, run: str, train: Judged, taught: Tensor | None, bf16: bool = False
    ) -> None:
        self.device, self.bf16 = training_device(), bf16
        torch.manual_seed(0)
        self.label_sets = sorted(train.targets)
        # Channels last: a step of 3x3 convolutions takes three quarters of the time so.
        self.model = MODELS[model](len(self.label_sets)).to(self.device)
        # torch's stub of Module.to knows no memory_format.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.draws = torch.Generator().manual_seed(1)
        self.optimiser = torch.optim.SGD(
            decay_groups(self.model, WEIGHT_DECAY), lr=0.0, momentum=MOMENTUM, nesterov=True
        )
        self.average = Average(self.model, DECAY)
        self.pictures = torch.from_numpy(train.faces.pictures).to(self.device)
        said = [torch.from_numpy(train.targets[one]) for one in self.label_sets]
        targets = torch.stack(said, dim=1)
        if taught is not None:
            counts = targets.sum(dim=2, keepdim=True) > 0  # nothing was said of the others
            targets = torch.where(counts, targets.lerp(taught, TEACHER_SHARE), taught)
        self.targets = targets.to(self.device)
        self.weights = torch.tensor([WEIGHTS[LabelSet(one)] for one in self.label_sets])
        self.weights = self.weights.to(self.device)
        self.epochs_done, self.planned = 0, 0
        self.folder = Path("training/runs") / run
        self.checkpoint = Path(".checkpoints") / run / CHECKPOINT
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return max(1, len(self.pictures) // BATCH)

    def resume(self) -> bool:
        """Go on from the last whole epoch; false where there is none."""
        if not self.checkpoint.exists():
            return False
        state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["average"])
        self.draws.set_state(state["draws"].cpu())
        torch.set_rng_state(state["dropout"].cpu())
        self.epochs_done, self.planned = state["epochs"], state["planned"]
        return True

    def plan(self, epochs: int, minutes: float | None) -> None:
        """How many epochs; fewer where they would take more than ``minutes``."""
        if minutes is not None:
            order = torch.arange(min(BATCH, len(self.pictures)))
            epoch_s = self.steps * step_seconds(lambda: self._step(order, 0.0))
            epochs = scaled_epochs([epochs], [epoch_s], minutes)[0]
        self.planned = epochs

    def fit(
        self, held_out: dict[str, Judged], minutes: float | None = None, most: int = 0
    ) -> None:  # fmt: skip
        """Train what is left of the plan, which is cut after each epoch to what ``minutes`` from
        now still allow, of ``most`` at most: a machine with other work gets slower and faster."""
        begun, first = time.monotonic(), self.epochs_done
        while self.epochs_done < self.planned:
            epoch, started, losses = self.epochs_done, time.monotonic(), 0.0
            order = torch.randperm(len(self.pictures), generator=self.draws)
            batches = torch.split(order, BATCH)[: self.steps]
            bar = tqdm(batches, desc=f"epoch {epoch + 1}/{self.planned}", mininterval=5)
            for step, chosen in enumerate(bar):
                losses += self._step(chosen, self._learning_rate(epoch + step / self.steps))
                self.average.follow(self.model)
            row: dict[str, Any] = {"epoch": epoch, "loss": losses / self.steps}
            row["seconds"] = round(time.monotonic() - started, 1)
            with self.average.in_place(self.model):
                row |= {name: self.accuracy(judged) for name, judged in held_out.items()}
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            tqdm.write(json.dumps(row))
            self.epochs_done = epoch + 1
            if minutes is not None:
                spent_s = time.monotonic() - begun
                epoch_s = spent_s / (self.epochs_done - first)
                left = round((minutes * 60 - spent_s) / epoch_s)
                self.planned = self.epochs_done + max(0, min(left, most - self.epochs_done))
            self._save()

    @torch.no_grad()
    def accuracy(self, judged: Judged) -> dict[str, float]:
        """Share of right answers in each label set, of the window in the middle."""
        self.model.eval()
        answers = []
        for start in range(0, len(judged), 256):
            pictures = torch.from_numpy(judged.faces.pictures[start : start + 256])
            said = self.model(middle(pictures.to(self.device)))
            answers.append(said.view(len(said), -1, len(LABELS)).argmax(dim=2).cpu().numpy())
        found: dict[str, float] = {}
        for index, one in enumerate(self.label_sets):
            labels = judged.labels[LabelSet(one)]
            right = np.concatenate(answers)[:, index] == labels
            found[one] = round(float(right[labels >= 0].mean()), 5)
        return found

    def _step(self, chosen: Tensor, learning_rate: float) -> float:
        self.model.train()
        chosen = chosen.to(self.device)
        views = random_views(self.pictures[chosen], VIEW_PX, self.draws, STRENGTH)
        views = degraded(views, DEGRADED, self.draws)
        top, left = torch.randint(VIEW_PX - SIZE_PX + 1, (2,), generator=self.draws).tolist()
        views = views[:, :, top : top + SIZE_PX, left : left + SIZE_PX]
        views = views.contiguous(memory_format=torch.channels_last)
        targets = self.targets[chosen]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            said = self.model(views)
        said = said.float().view(targets.shape).log_softmax(dim=2)
        loss = -((targets * said).sum(dim=2).mean(dim=0) * self.weights).sum()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.item())

    def _learning_rate(self, epoch: float) -> float:
        """A short rise, then half a cosine."""
        rise = min(1.0, (epoch + 1 / self.steps) / min(WARM_UP_EPOCHS, self.planned / 4))
        return LR * rise * (1 + math.cos(math.pi * epoch / self.planned)) / 2

    def _save(self) -> None:
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        state |= {"average": self.average.state(), "draws": self.draws.get_state()}
        state |= {"dropout": torch.get_rng_state()}
        state |= {"epochs": self.epochs_done, "planned": self.planned}
        temporary = self.checkpoint.with_suffix(".tmp")  # a kill leaves the one before
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)


def middle(pictures: Tensor) -> Tensor:
    """The window in the middle: uint8 ``(N, 48, 48)`` -> float ``(N, 1, 44, 44)`` in 0..255."""
    edge = (VIEW_PX - SIZE_PX) // 2
    return enlarge(pictures, VIEW_PX)[:, :, edge : edge + SIZE_PX, edge : edge + SIZE_PX]


def taught_by(folder: Path, train: Judged, threads: int) -> Tensor:
    """What the local tail of a folder of weights says of each picture and its mirror image, the
    mean: float32 ``(N, L, 7)``. Asked once: kept in ``.checkpoints``.

    Raises:
        WeightsError: the folder cannot be used, or its tail does not answer these label sets.
    """
    kept = Path(".checkpoints") / f"answers-{folder.name}-{len(train)}.npy"
    if kept.exists():
        return torch.from_numpy(np.load(kept))
    weights = Weights(folder)
    head, tail = weights.head(threads), weights.tail(LOCAL_TAIL, threads)
    if missing := set(train.targets) - set(tail.label_sets):
        raise WeightsError(f"{folder}: its local tail does not answer {', '.join(missing)}")
    found = []
    for start in tqdm(range(0, len(train), 32), desc=f"what {folder.name} says", mininterval=5):
        some = train.faces.pictures[start : start + 32]
        both = []
        for pictures in (some, some[:, :, ::-1]):
            crops = np.stack([enlarge_crop(np.ascontiguousarray(one)) for one in pictures])
            logits = tail.all_logits(head.run(crops)[0])
            both.append(
                np.stack([softmax(logits[LabelSet(one)]) for one in sorted(train.targets)], 1)
            )
        found.append(np.mean(both, axis=0))
    answers = np.concatenate(found).astype(np.float32)
    kept.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, answers)
    write_whole(kept, buffer.getvalue())
    return torch.from_numpy(answers)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=MODELS, required=True)
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
            arguments.model, arguments.run or arguments.model, train, taught, arguments.bf16
        )
        if not trainer.resume():
            trainer.plan(arguments.epochs, arguments.minutes)
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
