"""Train the split model by a recipe: ``python -m training.fit.train --data PATH --run NAME``.

A run can be killed at any moment and started again with the same command: it goes on from its
last checkpoint with the same order and the same views. The log stands in
``training/runs/NAME/log.jsonl``, checkpoints in ``.checkpoints/NAME`` (not committed).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from splitfer.shared.labels import LabelSet
from training.data.augment import degraded, enlarge, mixed, random_views, recropped
from training.data.datasets import DataError, data_path
from training.data.judged import Judged, parts
from training.data.votes import votes_path
from training.fit.average import Average
from training.fit.checkpoint import CHECKPOINT, load_weights
from training.fit.decay import decay_groups
from training.fit.rate_control import RATE_SHARES, RateControl
from training.fit.start_cloud import start_cloud
from training.fit.start_decoder import follow_local
from training.fit.start_lite import start_lite
from training.fit.tails_teacher import MeanTeacher, mean_teacher
from training.fit.teacher import Teacher
from training.models.bottleneck import DEFAULT_RATE
from training.models.split_model import SplitModel
from training.recipe import Recipe, Stage, read_recipe

CHECKPOINT_S = 60.0
STATISTICS_BATCHES = 40


class Trainer:
    """One run: its model, optimiser, place in the recipe, log and checkpoints."""

    def __init__(
        self, recipe: Recipe, run: Path, checkpoints: Path, device: torch.device,
        kind: type[SplitModel] = SplitModel,
    ) -> None:  # fmt: skip
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        model = kind(recipe.model)
        # torch's stub of Module.to knows no memory_format.
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model
        self.rates = RateControl()
        if recipe.start_from:
            self._start_from(checkpoints.parent / recipe.start_from / CHECKPOINT)
        self.teacher = None
        if recipe.teacher:
            runs = recipe.teacher.split("+")
            teacher = mean_teacher([checkpoints.parent / run / CHECKPOINT for run in runs]).to(
                device
            )
            self.teacher = teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(model, recipe.average)
        self.optimiser = torch.optim.AdamW(
            decay_groups(self.model, recipe.weight_decay), lr=0.0, fused=True
        )
        self.log, self.checkpoint = run / "log.jsonl", checkpoints / CHECKPOINT
        self.stage, self.epoch, self.step = 0, 0, 0
        self.loss_sum, self.seconds = 0.0, 0.0
        run.mkdir(parents=True, exist_ok=True)
        checkpoints.mkdir(parents=True, exist_ok=True)

    # -- state ---------------------------------------------------------------------------------

    PLACE = ("stage", "epoch", "step", "loss_sum", "seconds")

    def save(self) -> None:
        """Write the checkpoint so that a kill in the middle leaves the one before."""
        state = {name: getattr(self, name) for name in self.PLACE}
        state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"average": self.average.state(), "rates": asdict(self.rates)}
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint)

    def resume(self) -> bool:
        """Go on from the last checkpoint; false where there is none."""
        if not self.checkpoint.exists():
            return False
        state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["average"])
        self.rates = RateControl(**state["rates"])
        for name in self.PLACE:
            setattr(self, name, state[name])
        return True

    def _start_from(self, checkpoint: Path) -> None:
        load_weights(self.model, checkpoint)
        if not checkpoint.exists():  # weights that were kept know nothing of rates
            return
        rates = torch.load(checkpoint, map_location="cpu").get("rates")
        if rates and any(rates["recent_bytes"]):
            self.rates = RateControl(**rates)

    # -- training ------------------------------------------------------------------------------

    def fit(self, train: Judged, held_out: dict[str, Judged]) -> None:
        """Run what is left of the recipe.

        Raises:
            ValueError: a label set that the network answers has not judged the faces.
        """
        pictures = torch.from_numpy(train.faces.pictures).to(self.device)
        targets = self._targets(train).to(self.device)
        while self.stage < len(self.recipe.stages):
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

    def _targets(self, train: Judged) -> Tensor:
        """What the label sets say of each face, one after the other: ``(N, 7 L)``."""
        for name in self.recipe.model.label_sets:
            if name not in train.targets:
                raise ValueError(f"the network answers {name!r}, and no such labels were given")
        found = [train.targets[LabelSet(name)] for name in self.recipe.model.label_sets]
        return torch.from_numpy(np.concatenate(found, axis=1))

    @torch.no_grad()
    def _taught(self, views: Tensor, targets: Tensor) -> Tensor:
        """Each target together with what the teacher says of the very view."""
        if self.teacher is None:
            return targets
        views = views.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits = self.teacher(views).float()
        answers = self._by_label_set(logits).softmax(dim=2).flatten(1)
        return targets.lerp(answers, self.recipe.teacher_share)

    def _by_label_set(self, flat: Tensor) -> Tensor:
        """``(N, 7 L)`` -> ``(N, L, 7)``."""
        return flat.view(len(flat), -1, self.recipe.model.classes)

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """In nats, the label sets weighed as the recipe says; both ``(N, 7 L)``. The sum over the
        members where the logits are an ensemble's ``(M N, 7 L)``."""
        if len(logits) > len(targets):
            parts = torch.split(logits, len(targets))
            return torch.stack([self._cross_entropy(one, targets) for one in parts]).sum()
        answers = self._by_label_set(logits).log_softmax(dim=2)
        by_set = -(self._by_label_set(targets) * answers).sum(dim=2).mean(dim=0)
        return (by_set * by_set.new_tensor(self.recipe.weights)).sum()

    def _enter(self, stage: Stage, pictures: Tensor) -> None:
        if self.recipe.average:
            self.model.load_state_dict(self.average.weights)
        order = self._order(len(pictures), "enter")
        if stage.refit_statistics:
            self._refit_statistics(stage, pictures, order)
        if stage.start_cloud:
            start_cloud(self.model, enlarge(pictures[order[:256]], stage.size))
            if stage.refit_statistics:  # the cloud tail is another one now
                self._refit_statistics(stage, pictures, order)
        if stage.follow_local:
            follow_local(self.model, enlarge(pictures[order[:256]], stage.size))
        if stage.start_lite:
            start_lite(
                self.model, self._blocks_teacher(), enlarge(pictures[order[:512]], stage.size)
            )
        self.average = Average(self.model, self.recipe.average)

    def _blocks_teacher(self) -> Teacher:
        several = self.teacher.teachers if isinstance(self.teacher, MeanTeacher) else [self.teacher]
        for teacher in several:
            if isinstance(teacher, Teacher):
                return teacher
        raise ValueError("start_lite takes the blocks of a teacher of training.fit.teacher")

    @torch.no_grad()
    def _refit_statistics(self, stage: Stage, pictures: Tensor, order: Tensor) -> None:
        """Batch statistics at this stage's size: they are not the ones of smaller pictures."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.model.train()
        batches = torch.split(order[: STATISTICS_BATCHES * stage.batch], stage.batch)
        for index, chosen in enumerate(tqdm(batches, desc="statistics", unit="batch")):
            generator = self._generator("enter", index)
            views = random_views(pictures[chosen], stage.size, generator, stage.augment)
            with self._autocast():
                self.model(views.to(memory_format=torch.channels_last))
        for norm in norms:
            norm.momentum = 0.1

    def _one_epoch(self, stage: Stage, pictures: Tensor, targets: Tensor) -> None:
        _freeze(self.model, stage)
        order = self._order(len(pictures), self.stage, self.epoch)
        batches = torch.split(order, stage.batch)
        if len(batches[-1]) < stage.batch:
            batches = batches[:-1]
        total = stage.epochs * len(batches)
        name = f"stage {self.stage + 1}, {stage.size} px, epoch {self.epoch + 1}/{stage.epochs}"
        bar = tqdm(batches, desc=name, unit="batch", initial=self.step, mininterval=5)
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for chosen in batches[self.step :]:
            done = self.epoch * len(batches) + self.step
            for group in self.optimiser.param_groups:
                group["lr"] = _learning_rate(stage, done, total)
            generator = self._generator(self.stage, self.epoch, self.step)
            views = random_views(pictures[chosen], stage.size, generator, stage.augment)
            # Dropout draws from the global generator, which a resumed run has to find as it was.
            torch.manual_seed(self._generator(self.stage, self.epoch, self.step, 1).initial_seed())
            rate = _draw_rate(generator)
            views, wanted = mixed(views, targets[chosen], self.recipe.mixup, generator)
            wanted = self._taught(views, wanted)
            views = degraded(views, stage.degraded, generator)
            views = recropped(views, stage.recropped, generator)
            self.loss_sum += self._one_step(stage, views, wanted, rate)
            self.step += 1
            self.seconds = time.monotonic() - started
            bar.set_postfix(loss=f"{self.loss_sum / self.step:.3f}", refresh=False)
            bar.update()
            if time.monotonic() - saved > CHECKPOINT_S:
                self.save()
                saved = time.monotonic()
        bar.close()

    def _one_step(self, stage: Stage, views: Tensor, targets: Tensor, rate: int) -> float:
        views = views.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            logits, values = _run(self.model, stage, views, rate)
        logits = [x.float() for x in logits]
        loss = torch.stack([self._cross_entropy(x, targets) for x in logits]).sum()
        if stage.together:
            loss = loss.lerp(self._loss_together(logits[-1], views, targets), stage.together)
        shown = loss.item() / len(logits)
        if self.recipe.mutual and len(logits) > 1:
            answers = [self._by_label_set(x) for x in logits]
            loss = loss + self.recipe.mutual * _divergence(answers)
        if stage.latent_bytes and values is not None:
            latent_bytes = self.model.prior.bits(values, rate).mean() / 8
            loss = loss + self.rates.weight(rate) * latent_bytes
            self.rates.saw(rate, latent_bytes.item(), stage.latent_bytes[rate])
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.average.follow(self.model)
        return shown

    def _loss_together(self, cloud: Tensor, views: Tensor, targets: Tensor) -> Tensor:
        """The loss of the mean of the cloud tail's probabilities and those of the local one, which
        stands still."""
        with torch.no_grad(), self._autocast():
            local = self.model.local(views)
        both = [self._by_label_set(x.float()).softmax(dim=2) for x in (cloud, local)]
        mean = torch.stack(both).mean(dim=0).clamp(min=1e-6).log().flatten(1)
        return self._cross_entropy(mean, targets)

    def _report(self, stage: Stage, held_out: dict[str, Judged]) -> None:
        row: dict[str, Any] = {
            "stage": self.stage, "epoch": self.epoch, "size": stage.size,
            "loss": self.loss_sum / max(self.step, 1), "seconds": round(self.seconds, 1),
            "lr": self.optimiser.param_groups[0]["lr"],
        }  # fmt: skip
        if stage.latent_bytes:
            row["latent_bytes"] = [round(b or 0.0, 1) for b in self.rates.recent_bytes]
            row["rate_weights"] = [round(w, 3) for w in self.rates.log_weights]
        with self.average.in_place(self.model):
            for name, faces in held_out.items():
                row[name] = self.accuracy(stage, faces)
        with self.log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        tqdm.write(json.dumps(row))

    @torch.no_grad()
    def accuracy(self, stage: Stage, judged: Judged) -> dict[str, float]:
        """Share of right answers per trained tail and label set, single view, at the stage's size
        and the default rate."""
        self.model.eval()
        found: dict[str, list[Tensor]] = {tail: [] for tail in _tails(stage)}
        for start in range(0, len(judged), 256):
            pictures = torch.from_numpy(judged.faces.pictures[start : start + 256])
            views = enlarge(pictures.to(self.device), stage.size)
            views = views.contiguous(memory_format=torch.channels_last)
            with self._autocast():
                logits, _ = _run(self.model, stage, views, DEFAULT_RATE)
            for tail, x in zip(found, logits, strict=True):
                found[tail].append(self._by_label_set(x).argmax(dim=2).cpu())
        shares = {}
        for tail, answers in found.items():
            for index, name in enumerate(self.recipe.model.label_sets):
                labels = torch.from_numpy(judged.labels[LabelSet(name)])
                right = torch.cat(answers)[:, index] == labels
                key = tail if len(self.recipe.model.label_sets) == 1 else f"{tail}_{name}"
                shares[key] = round(float(right[labels >= 0].float().mean()), 5)
        return shares

    def _autocast(self) -> torch.autocast:
        enabled = self.recipe.stages[self.stage].bf16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _generator(self, *place: int | str) -> torch.Generator:
        """Draws that depend on the seed and the place in the run alone."""
        words = [self.recipe.seed, *(p if isinstance(p, int) else 10**6 for p in place)]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        return torch.Generator().manual_seed(seed)

    def _order(self, n: int, *place: int | str) -> Tensor:
        order = torch.randperm(n, generator=self._generator(*place, 10**6 + 1))
        return order.to(self.device)


def _tails(stage: Stage) -> list[str]:
    return [tail for tail in ("local", "cloud") if tail in stage.parts]


def _run(
    model: SplitModel, stage: Stage, views: Tensor, rate: int
) -> tuple[list[Tensor], Tensor | None]:
    """Logits of the stage's tails, `local` before `cloud`, and what was sent where both ran."""
    tails = _tails(stage)
    if tails == ["local", "cloud"]:
        out = model(views, rate)
        return [out.local, out.cloud], out.values
    return [model.local(views) if tails == ["local"] else model.cloud(views, rate)], None


def _divergence(logits: list[Tensor]) -> Tensor:
    """Of each tail's answers ``(N, L, 7)`` from the mean of all (which is not moved by it), in
    nats, summed over the label sets."""
    mean = torch.stack([x.softmax(dim=2) for x in logits]).mean(dim=0).detach()
    parts = [F.kl_div(x.log_softmax(dim=2), mean, reduction="batchmean") for x in logits]
    return torch.stack(parts).sum()


def _draw_rate(generator: torch.Generator) -> int:
    return int(torch.multinomial(torch.tensor(RATE_SHARES), 1, generator=generator))


def _freeze(model: SplitModel, stage: Stage) -> None:
    """Train mode and gradients for the stage's parts alone."""
    modules: list[tuple[str, nn.Module]] = [
        ("stem", model.head.stem), ("local", model.local_tail), ("cloud", model.cloud_tail),
        ("encoder", model.head.encoder), ("encoder", model.gains), ("encoder", model.prior),
    ]  # fmt: skip
    model.train()
    for name, module in modules:
        module.train(name in stage.parts)
        module.requires_grad_(name in stage.parts)


def _learning_rate(stage: Stage, done: int, total: int) -> float:
    if done < stage.warm_up_steps:
        return stage.lr_first * (done + 1) / stage.warm_up_steps
    share = (done - stage.warm_up_steps) / max(total - stage.warm_up_steps, 1)
    return stage.lr_first + (stage.lr_last - stage.lr_first) * share


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--recipe", type=Path, default=Path("training/recipes/base.toml"))
    parser.add_argument("--run", default="base", help="name of the run")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()

    try:
        recipe = read_recipe(arguments.recipe)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        _train(arguments, recipe)
    except DataError as error:
        print(f"train: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _train(arguments: argparse.Namespace, recipe: Recipe) -> None:
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    needs_votes = "crowd" in recipe.model.label_sets
    train, held_out, left_out = parts(
        data_path(arguments.data),
        votes_path(arguments.votes) if needs_votes else None, recipe.label_smoothing,
    )  # fmt: skip

    run = Path("training/runs") / arguments.run
    try:
        trainer = Trainer(recipe, run, Path(".checkpoints") / arguments.run, device)
    except ValueError as error:  # a run that it starts from, or its teacher, is not there
        print(f"train: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    if arguments.recipe.resolve() != (run / "recipe.toml").resolve():
        shutil.copyfile(arguments.recipe, run / "recipe.toml")
    resumed = trainer.resume()
    start = {
        "resumed": resumed, "device": str(device), "machine": platform.processor() or "unknown",
        "torch": torch.__version__, "train": len(train), "left_out": left_out,
        "command": f"python -m training.fit.train --recipe {arguments.recipe} "
        f"--run {arguments.run}",
    }  # fmt: skip
    with trainer.log.open("a") as file:
        file.write(json.dumps(start) + "\n")
    trainer.fit(train, held_out)


if __name__ == "__main__":
    sys.exit(main())
