"""An exponential moving average of a model's weights, batch statistics included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class Average:
    """``average += (weights - average) * (1 - decay)`` after each step; sooner while it is young.

    With ``decay`` 0 it is the weights themselves.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: value.clone() for name, value in model.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"weights": self.weights, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state()``."""
        self.weights, self.steps = state["weights"], state["steps"]

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move a step towards the model's weights."""
        self.steps += 1
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        now = model.state_dict()
        floats = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in floats], [now[n] for n in floats], share)
        for name in now.keys() - set(floats):
            self.weights[name].copy_(now[name])

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """The model with the averaged weights, and with its own again afterwards."""
        if not self.decay:
            yield
            return
        own = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)
