"""One run of a small classifier of the papers', which can be killed and goes on where it stood."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from splitfer.shared.labels import LABELS, LabelSet
from training.data.augment import degraded, enlarge, random_views
from training.data.judged import Judged
from training.fit.average import Average
from training.fit.budget import scaled_epochs, step_seconds
from training.fit.checkpoint import CHECKPOINT, averaged_weights, save_checkpoint
from training.fit.decay import decay_groups
from training.fit.device import training_device
from training.fit.epoch_log import append_row
from training.fit.origin import FACES, SETTINGS, check_faces, check_settings, faces_mark
from training.fit.prune import MagnitudePruner
from training.models.condensed import condense, learned_convolutions
from training.models.crop_classifier import PICTURE_PX as VIEW_PX
from training.models.crop_classifier import SIZE_PX
from training.models.family import CLASSIFIERS

BATCH, LR, MOMENTUM, WEIGHT_DECAY, WARM_UP_EPOCHS, DECAY = 128, 0.08, 0.9, 5e-4, 1.0, 0.998
STRENGTH, DEGRADED, LABEL_SMOOTHING, TEACHER_SHARE = 0.7, 0.15, 0.1, 0.6
# Of the group lasso of learned group convolutions; steps between two choices of pruned weights.
GROUP_LASSO, PRUNING_STEPS = 1e-5, 50
WEIGHTS = {LabelSet.CROWD: 1.0, LabelSet.FER2013: 0.8}


class ClassifierTrainer:
    """One run of a classifier, which goes on after its last whole epoch."""

    def __init__(
        self,
        model: str,
        run: str,
        train: Judged,
        taught: Tensor | None,
        bf16: bool = False,
        prune: float = 0.0,
        start_from: str = "",
    ) -> None:
        self.device, self.bf16 = training_device(), bf16
        torch.manual_seed(0)
        self.label_sets = sorted(train.targets)
        # Channels last: a step of 3x3 convolutions takes three quarters of the time so.
        self.model = CLASSIFIERS[model](len(self.label_sets)).to(self.device)
        if start_from:
            load_run(self.model, start_from)
        # torch's stub of Module.to knows no memory_format.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.draws = torch.Generator().manual_seed(1)
        self.optimiser = torch.optim.SGD(
            decay_groups(self.model, WEIGHT_DECAY), lr=0.0, momentum=MOMENTUM, nesterov=True
        )
        self.average = Average(self.model, DECAY)
        self.pruner = MagnitudePruner(self.model, prune) if prune else None
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
        settings = {
            "model": model,
            "prune": str(prune),
            "start_from": start_from or "nothing",
            "teacher": "none" if taught is None else "some",
        }
        self._origin: dict[str, Any] = {SETTINGS: settings, FACES: faces_mark(train)}
        self.folder = Path("training/runs") / run
        self.checkpoint = Path(".checkpoints") / run / CHECKPOINT
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return max(1, len(self.pictures) // BATCH)

    @property
    def finished(self) -> bool:
        """Whether nothing of the plan is left."""
        return self.epochs_done >= self.planned

    def resume(self, epochs: int | None = None) -> bool:
        """Go on from the last whole epoch; false where there is none. ``epochs`` are those that
        are wanted now, where that matters.

        Raises:
            DataError: it is of other faces.
            ValueError: it is of another network, or was finished with other settings.
        """
        if not self.checkpoint.exists():
            return False
        state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device)
        made, now = dict(state.get(SETTINGS, {})), self._origin[SETTINGS]
        if epochs is not None:
            made["epochs"], now = str(state["planned"]), {**now, "epochs": str(epochs)}
        check_settings(made, now, self.checkpoint, state["epochs"] >= state["planned"])
        check_faces(state.get(FACES, self._origin[FACES]), self._origin[FACES], self.checkpoint)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["average"])
        self.draws.set_state(state["draws"].cpu())
        torch.set_rng_state(state["dropout"].cpu())
        self.epochs_done, self.planned = state["epochs"], epochs or state["planned"]
        return True

    def plan(self, epochs: int, minutes: float | None) -> None:
        """How many epochs; fewer where they would take more than ``minutes``."""
        if minutes is not None:
            order = torch.arange(min(BATCH, len(self.pictures)))
            epoch_s = self.steps * step_seconds(lambda: self._step(order, 0.0))
            epochs = scaled_epochs([epochs], [epoch_s], minutes)[0]
        self.planned = epochs

    def fit(self, held_out: dict[str, Judged], minutes: float | None = None, most: int = 0) -> None:
        """Train what is left of the plan, which is cut after each epoch to what ``minutes`` from
        now still allow, of ``most`` at most: a machine with other work gets slower and faster."""
        begun, first = time.monotonic(), self.epochs_done
        while self.epochs_done < self.planned:
            epoch, started, losses = self.epochs_done, time.monotonic(), 0.0
            order = torch.randperm(len(self.pictures), generator=self.draws)
            batches = torch.split(order, BATCH)[: self.steps]
            bar = tqdm(batches, desc=f"epoch {epoch + 1}/{self.planned}", mininterval=5)
            for step, chosen in enumerate(bar):
                condense(self.model, (epoch + step / self.steps) / self.planned)
                losses += self._step(chosen, self._learning_rate(epoch + step / self.steps))
                self.average.follow(self.model)
                if self.pruner:
                    self._prune(self.pruner, epoch, step + 1)
            row: dict[str, Any] = {"epoch": epoch, "loss": losses / self.steps}
            row["seconds"] = round(time.monotonic() - started, 1)
            with self.average.in_place(self.model):
                row |= {name: self.accuracy(judged) for name, judged in held_out.items()}
            append_row(self.folder / "log.jsonl", row)
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

    def _prune(self, pruner: MagnitudePruner, epoch: int, step: int) -> None:
        """What pruning asks for after ``step`` steps of an epoch."""
        weights = self.model.state_dict()
        if step % PRUNING_STEPS == 0 or step == self.steps:
            pruner.advance(weights, (epoch + step / self.steps) / self.planned)
        pruner.apply(weights)
        pruner.apply(self.average.weights)

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
        for part in learned_convolutions(self.model):
            loss = loss + GROUP_LASSO * part.penalty()
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
        state |= {"epochs": self.epochs_done, "planned": self.planned, **self._origin}
        save_checkpoint(self.checkpoint, state)


def load_run(network: nn.Module, run: str) -> None:
    """Give ``network`` the averaged weights of a run, but for a last layer of another size.

    Raises:
        ValueError: there is no such run, or it is of another network.
    """
    own = network.state_dict()
    given = averaged_weights(Path(".checkpoints") / run / CHECKPOINT)
    fitting = {name: one for name, one in given.items() if own.get(name, one).shape == one.shape}
    if lost := [n for n in own if n not in fitting and not n.startswith("classifier.")]:
        raise ValueError(f"the run {run} is of another network: it has no such {lost[0]}")
    network.load_state_dict(fitting, strict=False)


def middle(pictures: Tensor) -> Tensor:
    """The window in the middle: uint8 ``(N, 48, 48)`` -> float ``(N, 1, 44, 44)`` in 0..255."""
    edge = (VIEW_PX - SIZE_PX) // 2
    return enlarge(pictures, VIEW_PX)[:, :, edge : edge + SIZE_PX, edge : edge + SIZE_PX]
