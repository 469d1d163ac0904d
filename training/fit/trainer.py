"""One run of a recipe, which can be killed at any moment and goes on where it stood."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.data.augment import degraded, enlarge, mixed, random_views, recropped
from training.data.datasets import DataError
from training.data.judged import Judged
from training.fit.average import Average
from training.fit.budget import scaled_epochs, step_seconds
from training.fit.checkpoint import CHECKPOINT, load_weights, save_checkpoint
from training.fit.decay import decay_groups
from training.fit.draws import Draws
from training.fit.epoch_log import append_row
from training.fit.losses import by_label_set, cross_entropy, divergence, mean_answer, targets_of
from training.fit.origin import (
    FACES,
    SETTINGS,
    check_faces,
    check_settings,
    faces_mark,
    settings_of,
)
from training.fit.rate_control import RateControl
from training.fit.stage_run import accuracy, autocast, draw_rate, freeze, learning_rate, run_tails
from training.fit.start_cloud import start_cloud
from training.fit.start_decoder import follow_local
from training.fit.start_lite import start_lite
from training.fit.statistics import refit_statistics
from training.fit.tails_teacher import blocks_teacher, mean_teacher
from training.models.split_model import SplitModel
from training.recipe import Recipe, Stage

CHECKPOINT_S = 60.0
STATISTICS_BATCHES = 40


class Trainer:
    """One run: its model, optimiser, place in the recipe, log and checkpoints."""

    def __init__(
        self,
        recipe: Recipe,
        run: Path,
        checkpoints: Path,
        device: torch.device,
        kind: type[SplitModel] = SplitModel,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self._draws = Draws(recipe.seed)
        model = kind(recipe.model)
        # torch's stub of Module.to knows no memory_format.
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model
        self.rates = RateControl()
        if recipe.start_from:
            self._start_from(checkpoints.parent / recipe.start_from / CHECKPOINT)
        self.teacher = None
        if recipe.teacher:
            taught_by = [checkpoints.parent / r / CHECKPOINT for r in recipe.teacher.split("+")]
            self.teacher = mean_teacher(taught_by, device)
        self.average = Average(model, recipe.average)
        self.optimiser = torch.optim.AdamW(
            decay_groups(self.model, recipe.weight_decay), lr=0.0, fused=True
        )
        self.log, self.checkpoint = run / "log.jsonl", checkpoints / CHECKPOINT
        self.stage, self.epoch, self.step = 0, 0, 0
        self.loss_sum, self.seconds = 0.0, 0.0
        self.epochs: list[int] = []  # of each stage, where they are not the recipe's
        self._origin: dict[str, Any] = {SETTINGS: settings_of(recipe)}
        run.mkdir(parents=True, exist_ok=True)
        checkpoints.mkdir(parents=True, exist_ok=True)

    PLACE = ("stage", "epoch", "step", "loss_sum", "seconds")

    def save(self) -> None:
        """Write the checkpoint."""
        state = {name: getattr(self, name) for name in self.PLACE}
        state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"average": self.average.state(), "rates": asdict(self.rates)}
        state |= self._origin
        if self.epochs:
            state["epochs"] = self.epochs
        save_checkpoint(self.checkpoint, state)

    @property
    def finished(self) -> bool:
        """Whether nothing of the recipe is left."""
        return self.stage >= len(self.recipe.stages)

    def resume(self) -> bool:
        """Go on from the last checkpoint; false where there is none.

        Raises:
            ValueError: it is of another network, or was finished by another recipe.
        """
        if not self.checkpoint.exists():
            return False
        state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device)
        made, now = state.get(SETTINGS, {}), self._origin[SETTINGS]
        check_settings(made, now, self.checkpoint, state["stage"] >= len(self.recipe.stages))
        if FACES in state:
            self._origin[FACES] = state[FACES]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["average"])
        self.rates = RateControl(**state["rates"])
        if "epochs" in state:
            self._plan(state["epochs"])
        for name in self.PLACE:
            setattr(self, name, state[name])
        return True

    def _start_from(self, checkpoint: Path) -> None:
        load_weights(self.model, checkpoint)
        if checkpoint.exists():  # weights that were kept know nothing of rates
            rates = torch.load(checkpoint, map_location="cpu").get("rates")
            if rates and any(rates["recent_bytes"]):
                self.rates = RateControl(**rates)

    def fit(self, train: Judged, held_out: dict[str, Judged]) -> None:
        """Run what is left of the recipe.

        Raises:
            DataError: they are too few, or others than those that the run has begun with.
            ValueError: a label set that the network answers has not judged the faces.
        """
        pictures = torch.from_numpy(train.faces.pictures).to(self.device)
        targets = targets_of(train, self.recipe.model.label_sets).to(self.device)
        mark = faces_mark(train)
        check_faces(self._origin.setdefault(FACES, mark), mark, self.checkpoint)
        if (most := max(stage.batch for stage in self.recipe.stages)) > len(train):
            raise DataError(f"{len(train)} faces to learn from are less than a batch of {most}")
        while not self.finished:
            stage = self.recipe.stages[self.stage]
            if self.epoch == 0 and self.step == 0:
                self._enter(stage, pictures)
            while self.epoch < stage.epochs:
                self._one_epoch(stage, pictures, targets)
                self._report(stage, held_out)
                self.epoch, self.step, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0
                self.save()
            self.stage, self.epoch = self.stage + 1, 0
            self.save()

    def fit_into(self, minutes: float, train: Judged) -> None:
        """Fewer epochs in each stage where the recipe would take longer; steps are timed on a copy
        of the network, which learns nothing of it.

        Raises:
            ValueError: a label set that the network answers has not judged the faces.
        """
        epoch_s = [self._epoch_s(stage, train) for stage in self.recipe.stages]
        self._plan(scaled_epochs([one.epochs for one in self.recipe.stages], epoch_s, minutes))

    def _epoch_s(self, stage: Stage, train: Judged) -> float:
        trial = copy.copy(self)
        trial.model, trial.rates = copy.deepcopy(self.model), copy.deepcopy(self.rates)
        trial.average = Average(trial.model, self.recipe.average)
        trial.optimiser = torch.optim.AdamW(trial.model.parameters(), lr=0.0)
        freeze(trial.model, stage)
        some = train.subset(np.arange(len(train)) < stage.batch)
        pictures = torch.from_numpy(some.faces.pictures).to(self.device)
        targets = targets_of(some, self.recipe.model.label_sets).to(self.device)
        step_s = step_seconds(lambda: trial._learn(stage, pictures, targets))
        return step_s * max(1, len(train) // stage.batch)

    def _plan(self, epochs: list[int]) -> None:
        self.epochs = epochs
        stages = [
            replace(stage, epochs=n) for stage, n in zip(self.recipe.stages, epochs, strict=True)
        ]
        self.recipe = replace(self.recipe, stages=tuple(stages))

    @torch.no_grad()
    def _taught(self, views: Tensor, targets: Tensor) -> Tensor:
        """Each target together with what the teacher says of the very view."""
        if self.teacher is None:
            return targets
        views = views.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits = self.teacher(views).float()
        answers = by_label_set(logits).softmax(dim=2).flatten(1)
        return targets.lerp(answers, self.recipe.teacher_share)

    def _enter(self, stage: Stage, pictures: Tensor) -> None:
        if self.recipe.average:
            self.model.load_state_dict(self.average.weights)
        order = self._draws.order(len(pictures), "enter").to(self.device)
        if stage.refit_statistics:
            self._refit_statistics(stage, pictures, order)
        if stage.start_cloud:
            start_cloud(self.model, enlarge(pictures[order[:256]], stage.size))
            if stage.refit_statistics:  # the cloud tail is another one now
                self._refit_statistics(stage, pictures, order)
        if stage.follow_local:
            follow_local(self.model, enlarge(pictures[order[:256]], stage.size))
        if stage.start_lite:
            some = enlarge(pictures[order[:512]], stage.size)
            start_lite(self.model, blocks_teacher(self.teacher), some)
        self.average = Average(self.model, self.recipe.average)

    def _refit_statistics(self, stage: Stage, pictures: Tensor, order: Tensor) -> None:
        def views() -> Iterator[Tensor]:
            batches = torch.split(order[: STATISTICS_BATCHES * stage.batch], stage.batch)
            for index, chosen in enumerate(tqdm(batches, desc="statistics", unit="batch")):
                generator = self._draws.at("enter", index)
                yield random_views(pictures[chosen], stage.size, generator, stage.augment)

        refit_statistics(self.model, views(), self._autocast())

    def _one_epoch(self, stage: Stage, pictures: Tensor, targets: Tensor) -> None:
        freeze(self.model, stage)
        order = self._draws.order(len(pictures), self.stage, self.epoch).to(self.device)
        batches = [one for one in torch.split(order, stage.batch) if len(one) == stage.batch]
        total = stage.epochs * len(batches)
        name = f"stage {self.stage + 1}, {stage.size} px, epoch {self.epoch + 1}/{stage.epochs}"
        bar = tqdm(batches, desc=name, unit="batch", initial=self.step, mininterval=5)
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for chosen in batches[self.step :]:
            done = self.epoch * len(batches) + self.step
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(stage, done, total)
            self.loss_sum += self._learn(stage, pictures[chosen], targets[chosen])
            self.step += 1
            self.seconds = time.monotonic() - started
            bar.set_postfix(loss=f"{self.loss_sum / self.step:.3f}", refresh=False)
            bar.update()
            if time.monotonic() - saved > CHECKPOINT_S:
                self.save()
                saved = time.monotonic()
        bar.close()

    def _learn(self, stage: Stage, pictures: Tensor, targets: Tensor) -> float:
        """One step on a view of each picture; gives the loss."""
        generator = self._draws.at(self.stage, self.epoch, self.step)
        views = random_views(pictures, stage.size, generator, stage.augment)
        # Dropout draws from the global generator, which a resumed run has to find as it was.
        torch.manual_seed(self._draws.at(self.stage, self.epoch, self.step, 1).initial_seed())
        rate = draw_rate(generator)
        views, targets = mixed(views, targets, self.recipe.mixup, generator)
        targets = self._taught(views, targets)
        views = degraded(views, stage.degraded, generator)
        views = recropped(views, stage.recropped, generator)
        return self._one_step(stage, views, targets, rate)

    def _one_step(self, stage: Stage, views: Tensor, targets: Tensor, rate: int) -> float:
        views = views.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits, values = run_tails(self.model, stage, views, rate)
        logits, weights = [x.float() for x in logits], self.recipe.weights
        loss = torch.stack([cross_entropy(x, targets, weights) for x in logits]).sum()
        if stage.together:
            with torch.no_grad(), self._autocast():  # the local tail stands still
                local = self.model.local(views)
            both = cross_entropy(mean_answer([logits[-1], local]), targets, weights)
            loss = loss.lerp(both, stage.together)
        shown = loss.item() / len(logits)
        if self.recipe.mutual and len(logits) > 1:
            loss = loss + self.recipe.mutual * divergence(logits)
        if stage.latent_bytes and values is not None:
            latent_bytes = self.model.prior.bits(values, rate).mean() / 8
            loss = loss + self.rates.weight(rate) * latent_bytes
            self.rates.saw(rate, latent_bytes.item(), stage.latent_bytes[rate])
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.average.follow(self.model)
        return shown

    def _report(self, stage: Stage, held_out: dict[str, Judged]) -> None:
        row: dict[str, Any] = {
            "stage": self.stage,
            "epoch": self.epoch,
            "size": stage.size,
            "loss": self.loss_sum / max(self.step, 1),
            "seconds": round(self.seconds, 1),
            "lr": self.optimiser.param_groups[0]["lr"],
        }
        if stage.latent_bytes:
            row |= self.rates.report()
        with self.average.in_place(self.model):
            for name, faces in held_out.items():
                row[name] = accuracy(self.model, self.recipe, stage, faces)
        append_row(self.log, row)

    def _autocast(self) -> torch.autocast:
        return autocast(self.recipe.stages[self.stage], self.device)
