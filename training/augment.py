"""Random views of a batch of faces, made on the tensor at once.

One ``grid_sample`` does flip, rotation, scale, shift and the enlargement from 48 px to the
network's input together, so a view is interpolated once and costs the same at every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.preprocess import DETAIL_SIDE

ROTATION_DEG = 15.0
# dlib's boxes differ by as much in size and place for the same face.
SCALE = 0.25
SHIFT = 0.1
CONTRAST = 0.25
BRIGHTNESS = 25.0
ERASE_PROBABILITY = 0.25
SHARPEST_SIDE = 72  # of a view that is cropped again


def enlarge(pictures: Tensor, size: int) -> Tensor:
    """Plain views: ``(N, 48, 48)`` uint8 -> float ``(N, 1, size, size)`` in 0..255."""
    return F.interpolate(pictures.unsqueeze(1).float(), size=size, mode="bilinear")


def random_views(
    pictures: Tensor, size: int, generator: torch.Generator, strength: float = 1.0
) -> Tensor:
    """One random view each: ``(N, 48, 48)`` uint8 -> float ``(N, 1, size, size)`` in 0..255.

    ``strength`` scales every range and the share of erased views; 0 gives plain views, flipped or
    not. Draws come from ``generator`` (on the CPU) alone, so a view can be made again.
    """
    n, device = len(pictures), pictures.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(n, *shape, generator=generator) * (high - low) + low).to(device)

    angle = uniform(-ROTATION_DEG, ROTATION_DEG) * (math.pi / 180 * strength)
    scale = 1 + uniform(-SCALE, SCALE) * strength
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    shift = uniform(-2 * SHIFT, 2 * SHIFT, 2) * strength
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack(
        (
            torch.stack((cos * flip, -sin, shift[:, 0]), dim=1),
            torch.stack((sin * flip, cos, shift[:, 1]), dim=1),
        ),
        dim=1,
    )
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    source = pictures.unsqueeze(1).float()
    views = F.grid_sample(source, grid, padding_mode="border", align_corners=False)

    contrast = 1 + uniform(-CONTRAST, CONTRAST, 1, 1, 1) * strength
    brightness = uniform(-BRIGHTNESS, BRIGHTNESS, 1, 1, 1) * strength
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    views = ((views - mean) * contrast + mean + brightness).clamp(0, 255)
    return torch.where(_erased(uniform, size, device, strength), uniform(0, 255, 1, 1, 1), views)


def recropped(views: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A ``share`` of the views ``(N, 1, H, W)`` as the product's crop gives a face in a frame:
    brought down to few pixels and enlarged again, wherever the first picture's pixels lay.

    Down to the crop's detail or somewhat more, the same for the batch: a view has been interpolated
    linearly already, which blurs more than what cameras and ``crop_face`` do.
    """
    chosen = torch.rand(len(views), generator=generator) < share
    if not bool(chosen.any()):
        return views
    chosen, size = chosen.to(views.device), views.shape[-1]
    detail = int(torch.randint(DETAIL_SIDE, SHARPEST_SIDE + 1, (), generator=generator))
    small = F.interpolate(views[chosen], size=detail, mode="bicubic", antialias=True)
    views = views.clone()
    views[chosen] = F.interpolate(small.clamp(0, 255), size=size, mode="bilinear")
    return views


def mixed(
    views: Tensor, targets: Tensor, parameter: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each view ``(N, 1, H, W)`` and its target ``(N, classes)`` mixed with those of another one of
    the batch, in one proportion drawn from Beta(``parameter``, ``parameter``); 0 mixes none."""
    if not parameter:
        return views, targets
    seed = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(parameter, parameter))
    other = torch.randperm(len(views), generator=generator).to(views.device)
    return views.lerp(views[other], share), targets.lerp(targets[other], share)


def _erased(
    uniform: Callable[..., Tensor], size: int, device: torch.device, strength: float
) -> Tensor:
    """Which pixels a rectangle covers, bool ``(N, 1, size, size)``; none for most faces."""
    height, width = uniform(0.1, 0.4), uniform(0.1, 0.4)
    top, left = uniform(0, 1) * (1 - height), uniform(0, 1) * (1 - width)
    chosen = uniform(0, 1) < ERASE_PROBABILITY * strength
    line = (torch.arange(size, device=device) + 0.5) / size
    rows = (line >= top[:, None]) & (line < (top + height)[:, None]) & chosen[:, None]
    columns = (line >= left[:, None]) & (line < (left + width)[:, None])
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
