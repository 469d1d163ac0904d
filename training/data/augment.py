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

from splitfer.shared.vision.crop import DETAIL_SIDE

ROTATION_DEG = 15.0
# Of a head that is tilted, as this share of the views shows it.
TILT_DEG, TILTED = 35.0, 0.15
# dlib's boxes differ by as much in size and place for the same face.
SCALE = 0.25
SHIFT = 0.1
CONTRAST = 0.25
BRIGHTNESS = 25.0
ERASE_PROBABILITY = 0.25
# ITU-T T.81, Table K.1.
_JPEG_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
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

    most = torch.where(uniform(0, 1) < TILTED, TILT_DEG, ROTATION_DEG)
    angle = uniform(-1, 1) * most * (math.pi / 180 * strength)
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


def degraded(views: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A ``share`` of the views ``(N, 1, H, W)`` as bad pictures show a face: one of blur, few
    pixels, little light, noise, coarse JPEG, or mouth or eyes covered. Values stay in 0..255.

    The strength is drawn once a batch for each kind, and which views it befalls for each view.
    """
    kind = torch.randint(len(_DEGRADED), (len(views),), generator=generator)
    befallen = torch.rand(len(views), generator=generator) < share
    views = views.clone()
    for index, degrade in enumerate(_DEGRADED):
        strength = float(torch.rand((), generator=generator))
        chosen = (befallen & (kind == index)).nonzero()[:, 0].to(views.device)
        if len(chosen):
            seed = int(torch.randint(2**62, (), generator=generator))
            views[chosen] = degrade(views[chosen], strength, seed).clamp(0, 255)
    return views


def _blurred(views: Tensor, strength: float, _: int) -> Tensor:
    """By a Gaussian of up to 2 px of a picture of 48 px."""
    sigma = (0.4 + 1.8 * strength) * views.shape[-1] / 48
    reach = int(3 * sigma) + 1
    line = torch.arange(-reach, reach + 1, device=views.device, dtype=views.dtype)
    kernel = torch.exp(-0.5 * (line / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(views, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])


def _small(views: Tensor, strength: float, _: int) -> Tensor:
    """A face of 16 to 40 px, enlarged."""
    side = 16 + round(24 * strength)
    small = F.interpolate(views, size=side, mode="bilinear", antialias=True)
    return F.interpolate(small.round(), size=views.shape[-1], mode="bilinear")


def _dark(views: Tensor, strength: float, _: int) -> Tensor:
    """With 1/16 to 1/2 of the light, in whole numbers as a camera gives them."""
    darker: Tensor = views * 2.0 ** (-4 + 3 * strength)
    return darker.round()


def _noisy(views: Tensor, strength: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    grains = F.interpolate(
        torch.randn(len(views), 1, 48, 48, generator=generator).to(views.device),
        size=views.shape[-1],
        mode="nearest",
    )
    return views + grains * (3 + 22 * strength)


def _jpeg(views: Tensor, strength: float, _: int) -> Tensor:
    """Blocks of 8x8 pixels of a 48 px picture, their cosine transform rounded as coarsely as JPEG
    does at qualities 8 to 50."""
    quality = 8 * (50 / 8) ** strength
    table = torch.tensor(_JPEG_LUMINANCE, device=views.device, dtype=views.dtype)
    steps = (table * (50 / quality)).round().clamp(min=1).view(8, 8)
    small = F.interpolate(views, size=48, mode="area")
    blocks = (small - 128).unfold(2, 8, 8).unfold(3, 8, 8)
    basis = _cosines().to(views)
    spectrum = ((basis @ blocks @ basis.T) / steps).round() * steps
    blocks = basis.T @ spectrum @ basis
    n, _, down, across = blocks.shape[:4]
    small = blocks.permute(0, 1, 2, 4, 3, 5).reshape(n, 1, 8 * down, 8 * across) + 128
    return F.interpolate(small.clamp(0, 255), size=views.shape[-1], mode="bilinear")


def _covered(views: Tensor, strength: float, seed: int) -> Tensor:
    """Mouth or eyes behind a mask or a bar of one grey."""
    generator = torch.Generator().manual_seed(seed)
    side = views.shape[-1]
    low = torch.rand(len(views), generator=generator) < 0.6
    top = torch.where(low, 0.58 + 0.1 * torch.rand(len(views), generator=generator), 0.2)
    bottom = torch.where(low, 1.0, 0.34 + 0.12 * torch.rand(len(views), generator=generator))
    edge = 0.2 * strength
    line = (torch.arange(side) + 0.5) / side
    rows = (line >= top[:, None]) & (line < bottom[:, None])
    columns = (line >= edge) & (line < 1 - edge)
    mask = (rows[:, None, :, None] & columns[None, None, None, :]).to(views.device)
    grey = 255 * torch.rand(len(views), 1, 1, 1, generator=generator).to(views.device)
    return torch.where(mask, grey, views)


def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 values, ``(8, 8)``."""
    k = torch.arange(8.0)
    basis = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


_DEGRADED = (_blurred, _small, _dark, _noisy, _jpeg, _covered)


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
