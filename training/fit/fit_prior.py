"""Fit the prior, which training needs and nobody ships, to the latents of a head."""

from __future__ import annotations

import torch
from tqdm import tqdm

from training.data.augment import enlarge
from training.data.datasets import Faces
from training.models.bottleneck import RATES, ZERO_SYMBOL, quantise
from training.models.split_model import SplitModel

_STEPS, _BATCH, _LR = 400, 32, 0.02


def fit_prior(model: SplitModel, faces: Faces) -> list[float]:
    """Train ``model.prior`` alone on what the model sends of ``faces``; gives the bytes that a
    latent costs by it, per rate.

    A training that begins with a prior which knows nothing would press all symbols to 0 first.
    """
    pictures = torch.from_numpy(faces.pictures)
    gains = model.gains.gains().detach()
    model.eval()
    with torch.no_grad():
        z = torch.cat([model.head(enlarge(some, 224))[1] for some in torch.split(pictures, _BATCH)])
    values = [quantise(z, gain) - ZERO_SYMBOL for gain in gains]
    optimiser = torch.optim.Adam(model.prior.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    generator = torch.Generator().manual_seed(0)
    for _ in tqdm(range(_STEPS), desc="prior", unit="step", disable=None):
        chosen = torch.randperm(len(z), generator=generator)[:_BATCH]
        optimiser.zero_grad()
        costs = [model.prior.bits(values[rate][chosen], rate).mean() for rate in range(len(RATES))]
        torch.stack(costs).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return [
            model.prior.bits(values[rate], rate).mean().item() / 8 for rate in range(len(RATES))
        ]
