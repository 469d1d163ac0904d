"""A good first cloud tail from a trained local path, so that training does not start over."""

from __future__ import annotations

import torch
from torch import Tensor

from training.models.bottleneck import LATENT_CHANNELS, bias
from training.models.split_model import CloudTail, SplitModel

# Of the 8 components together; their shares differ, as the coder wants it.
STEPS_PER_DEVIATION = 0.7


@torch.no_grad()
def start_cloud(model: SplitModel, crops: Tensor) -> None:
    """Set encoder and decoder to the features' 8 principal components and copy the trunk.

    ``crops`` ``(N, 1, H, W)`` are plain views to fit on. The best linear bottleneck in the mean
    square is the one of the principal components, all of one step.
    """
    tail = model.cloud_tail
    assert isinstance(tail, CloudTail)
    model.head.eval()
    features = model.head.features(crops).float()
    flat = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).double()
    mean = flat.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov((flat - mean).T))
    basis = vectors[:, -LATENT_CHANNELS:]
    step = STEPS_PER_DEVIATION / values[-LATENT_CHANNELS:].mean().clamp(min=1e-12).sqrt()

    encoder, decoder = model.head.encoder.conv, tail.decoder.conv
    encoder.weight.copy_((basis * step).T[:, :, None, None])
    bias(encoder).copy_(-(basis * step).T @ mean)
    decoder.weight.zero_()
    decoder.weight[:, :, 1, 1] = (basis / step).to(decoder.weight)
    bias(decoder).copy_(mean)
    tail.trunk.load_state_dict(model.local_tail.state_dict())
