"""The weights in a run's checkpoint, ``.checkpoints/<run>/last.pt``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.models.architecture import CLOUD
from training.models.split_model import SplitModel

CHECKPOINT = "last.pt"
# Of a run that is to go on elsewhere, in ``training/runs/<run>``: see ``training.fit.keep``.
KEPT = "weights.pt"
RUNS = Path("training/runs")
BACKBONE = ("head.stem.", "local_tail.")


def save_checkpoint(checkpoint: Path, state: dict[str, Any]) -> None:
    """Write it so that a kill in the middle leaves the one before."""
    temporary = checkpoint.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, checkpoint)


def load_weights(model: SplitModel, checkpoint: Path) -> None:
    """Give ``model`` a checkpoint's weights, averaged where it has averages.

    Parts that the checkpoint's model did not have stay as they are. A cloud tail becomes the member
    of its kind where ``model`` has an ensemble. A first convolution for one
    grey channel takes the sum over three that were alike; a classifier of more label sets begins
    with what there is for each.

    Raises:
        ValueError: there is no checkpoint, or it is of another backbone.
    """
    own = model.state_dict()
    given = _as_members(averaged_weights(checkpoint), own)
    weights = {k: _fitted(v, own[k]) for k, v in given.items() if k in own}
    fitting = {k: v for k, v in weights.items() if v.shape == own[k].shape}
    if lost := [k for k in own if k.startswith(BACKBONE) and k not in fitting]:
        raise ValueError(f"{checkpoint} is of another backbone: it has no such {lost[0]}")
    model.load_state_dict(fitting, strict=False)


def _as_members(given: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """``given`` with the names that its cloud tail has as a member of the ensemble in ``own``."""
    tail = {k.removeprefix(CLOUD): v for k, v in given.items() if k.startswith(CLOUD)}
    places = {k.removeprefix(CLOUD).split(".")[1] for k in own if k.startswith(f"{CLOUD}members.")}
    if any(name.startswith("members.") for name in tail):
        return given
    for place in sorted(places):
        named = {f"{CLOUD}members.{place}.{name}": tensor for name, tensor in tail.items()}
        if named and all(k in own and own[k].shape == v.shape for k, v in named.items()):
            return given | named
    return given


def _fitted(given: Tensor, own: Tensor) -> Tensor:
    if given.ndim == 4 and own.shape[1] == 1 and given.shape[1] == 3:
        return given.sum(dim=1, keepdim=True)
    if given.ndim in (1, 2) and len(own) > len(given) and len(own) % len(given) == 0:
        return given.repeat(len(own) // len(given), *(1,) * (given.ndim - 1))
    return given


def averaged_weights(checkpoint: Path) -> dict[str, Tensor]:
    """A checkpoint's weights, averaged where it has averages; where there is none, those that were
    kept of the run.

    Raises:
        ValueError: there is neither.
    """
    kept = RUNS / checkpoint.parent.name / KEPT
    if not checkpoint.exists() and not kept.exists():
        raise ValueError(f"no checkpoint at {checkpoint}: train that run first")
    state: dict[str, Any] = torch.load(
        checkpoint if checkpoint.exists() else kept, map_location="cpu"
    )
    weights: dict[str, Tensor] = (
        state["average"]["weights"] if "average" in state else state["model"]
    )
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
