"""The weight of the rate term, moved until a latent costs what it may."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from training.models.bottleneck import RATES

# Shares of the steps that each rate is trained in; the default serves most faces.
RATE_SHARES = (0.25, 0.5, 0.25)
_FIRST_WEIGHT = 0.05  # nats of the loss for 100 bytes
_GAIN = 0.04
_MEMORY = 0.98


@dataclass
class RateControl:
    """Per rate: the logarithm of the weight, and the mean bytes of late.

    The weight rises while latents cost more than they may and falls while they cost less (dual
    ascent), so a target in bytes is met whatever the scale of the other losses.
    """

    log_weights: list[float] = field(default_factory=lambda: [math.log(_FIRST_WEIGHT)] * len(RATES))
    recent_bytes: list[float | None] = field(default_factory=lambda: [None] * len(RATES))

    def weight(self, rate: int) -> float:
        """Nats of loss per byte."""
        return math.exp(self.log_weights[rate]) / 100

    def saw(self, rate: int, latent_bytes: float, target: float) -> None:
        """A step at ``rate`` whose latents cost ``latent_bytes`` in the mean."""
        before = self.recent_bytes[rate]
        now = latent_bytes if before is None else before + (latent_bytes - before) * (1 - _MEMORY)
        self.recent_bytes[rate] = now
        off = max(-1.0, min(1.0, latent_bytes / target - 1))
        self.log_weights[rate] = max(-12.0, min(4.0, self.log_weights[rate] + _GAIN * off))

    def report(self) -> dict[str, list[float]]:
        """For a run's log: mean bytes of late, and logarithms of the weights, by rate."""
        return {
            "latent_bytes": [round(one or 0.0, 1) for one in self.recent_bytes],
            "rate_weights": [round(one, 3) for one in self.log_weights],
        }
