"""What a stage of a recipe runs of the split model, trains of it, and how right it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from splitfer.shared.labels import LabelSet
from training.data.augment import enlarge
from training.data.judged import Judged
from training.fit.losses import by_label_set
from training.fit.rate_control import RATE_SHARES
from training.models.bottleneck import DEFAULT_RATE
from training.models.split_model import SplitModel
from training.recipe import Recipe, Stage


def autocast(stage: Stage, device: torch.device) -> torch.autocast:
    """The precision that the stage computes in."""
    return torch.autocast(device.type, torch.bfloat16, enabled=stage.bf16)


@torch.no_grad()
def accuracy(model: SplitModel, recipe: Recipe, stage: Stage, judged: Judged) -> dict[str, float]:
    """Share of right answers per trained tail and label set, single view, at the stage's size
    and the default rate."""
    model.eval()
    device = next(model.parameters()).device
    label_sets = recipe.model.label_sets
    found: dict[str, list[Tensor]] = {tail: [] for tail in tails_of(stage)}
    for start in range(0, len(judged), 256):
        pictures = torch.from_numpy(judged.faces.pictures[start : start + 256])
        views = enlarge(pictures.to(device), stage.size)
        views = views.contiguous(memory_format=torch.channels_last)
        with autocast(stage, device):
            logits, _ = run_tails(model, stage, views, DEFAULT_RATE)
        for tail, x in zip(found, logits, strict=True):
            found[tail].append(by_label_set(x).argmax(dim=2).cpu())
    shares = {}
    for tail, answers in found.items():
        for index, name in enumerate(label_sets):
            labels = torch.from_numpy(judged.labels[LabelSet(name)])
            right = torch.cat(answers)[:, index] == labels
            key = tail if len(label_sets) == 1 else f"{tail}_{name}"
            shares[key] = round(float(right[labels >= 0].float().mean()), 5)
    return shares


def tails_of(stage: Stage) -> list[str]:
    """The tails that the stage trains, `local` before `cloud`."""
    return [tail for tail in ("local", "cloud") if tail in stage.parts]


def run_tails(
    model: SplitModel, stage: Stage, views: Tensor, rate: int
) -> tuple[list[Tensor], Tensor | None]:
    """Logits of the stage's tails, `local` before `cloud`, and what was sent where both ran."""
    tails = tails_of(stage)
    if tails == ["local", "cloud"]:
        out = model(views, rate)
        return [out.local, out.cloud], out.values
    return [model.local(views) if tails == ["local"] else model.cloud(views, rate)], None


def draw_rate(generator: torch.Generator) -> int:
    """A rate to send this batch at, by its share of the training."""
    return int(torch.multinomial(torch.tensor(RATE_SHARES), 1, generator=generator))


def freeze(model: SplitModel, stage: Stage) -> None:
    """Train mode and gradients for the stage's parts alone."""
    modules: list[tuple[str, nn.Module]] = [
        ("stem", model.head.stem),
        ("local", model.local_tail),
        ("cloud", model.cloud_tail),
        ("encoder", model.head.encoder),
        ("encoder", model.gains),
        ("encoder", model.prior),
    ]
    model.train()
    for name, module in modules:
        module.train(name in stage.parts)
        module.requires_grad_(name in stage.parts)


def learning_rate(stage: Stage, done: int, total: int) -> float:
    """After `done` of the stage\'s `total` steps."""
    if done < stage.warm_up_steps:
        return stage.lr_first * (done + 1) / stage.warm_up_steps
    share = (done - stage.warm_up_steps) / max(total - stage.warm_up_steps, 1)
    return stage.lr_first + (stage.lr_last - stage.lr_first) * share
