"""Frames of 480x360 with faces at known places, turned as wanted; and without a face.

A face is a picture of FER2013 as a plane before a camera: turned about its vertical axis (yaw) and
in the picture (roll), its edge faded into the background. So far turned planes are narrow faces, no
profiles. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Box

WIDTH_PX, HEIGHT_PX = 480, 360
ACROSS, DOWN = 3, 2
# FER2013's pictures, in sides of the box that a detector gives.
PICTURE = 1.18
# How far the camera is away, in sides of the picture.
_DISTANCE = 3.0
# Of the picture's half side: where it begins to fade.
_SOLID = 0.85
_FINER = 3


@dataclass(frozen=True)
class Pose:
    """A face's box in pixels, and how it is turned in degrees."""

    side_px: float
    yaw_deg: float = 0.0
    roll_deg: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A grey frame uint8 ``(360, 480)`` and where its faces are."""

    grey: NDArray[np.uint8]
    faces: tuple[Box, ...]


def scenes(pictures: NDArray[np.uint8], pose: Pose, seed: int) -> Iterator[Scene]:
    """Frames with six of ``pictures`` uint8 ``(N, 48, 48)`` each, until all were shown."""
    rng = np.random.default_rng(seed)
    for start in range(0, len(pictures), ACROSS * DOWN):
        grey = background(rng)
        boxes = []
        for place, picture in enumerate(pictures[start : start + ACROSS * DOWN]):
            width, height = WIDTH_PX / ACROSS, HEIGHT_PX / DOWN
            free_x, free_y = (max(0.0, one - PICTURE * pose.side_px) for one in (width, height))
            middle = (
                (place % ACROSS + 0.5) * width + rng.uniform(-0.5, 0.5) * free_x,
                (place // ACROSS + 0.5) * height + rng.uniform(-0.5, 0.5) * free_y,
            )
            turned = rng.choice((-1, 1))
            boxes.append(paste(grey, picture, middle, pose, int(turned)))
        noise = rng.normal(0, 2, grey.shape)
        yield Scene(np.clip(grey + noise, 0, 255).astype(np.uint8), tuple(boxes))


def background(rng: np.random.Generator) -> NDArray[np.float32]:
    """Soft shapes of all sizes, as walls and furniture out of focus: float32 ``(360, 480)``."""
    made = np.full((HEIGHT_PX, WIDTH_PX), rng.uniform(60, 190), np.float32)
    for cells in (3, 8, 24, 80):
        few = rng.normal(0, 90 / cells**0.7, (cells, cells)).astype(np.float32)
        kind = Image.Resampling.NEAREST if rng.random() < 0.3 else Image.Resampling.BICUBIC
        made += np.asarray(Image.fromarray(few).resize((WIDTH_PX, HEIGHT_PX), kind))
    return np.clip(made, 0, 255)


def paste(
    grey: NDArray[np.float32],
    picture: NDArray[np.uint8],
    middle: tuple[float, float],
    pose: Pose,
    turned: int = 1,
) -> Box:
    """Lay a picture into a frame float32 ``(H, W)``, ``turned`` to one side (-1) or the other (1);
    gives the box of its face."""
    side = PICTURE * pose.side_px
    corners = _seen(pose, turned) * side + np.array(middle)
    low = np.floor(corners.min(0)).astype(int)
    size = np.ceil(corners.max(0)).astype(int) - low
    edge = picture.shape[0]
    ends = np.array([(0, 0), (edge, 0), (edge, edge), (0, edge)])
    terms = _homography(_FINER * (corners - low), ends)
    # Seen finer than wanted and averaged, as a camera's pixels do.
    shape = (_FINER * int(size[0]), _FINER * int(size[1]))
    face, cover = (
        one.transform(shape, Image.Transform.PERSPECTIVE, terms, Image.Resampling.BICUBIC).reduce(
            _FINER
        )
        for one in (Image.fromarray(picture), _fading(edge))
    )
    top, left = max(0, low[1]), max(0, low[0])
    bottom, right = min(grey.shape[0], low[1] + size[1]), min(grey.shape[1], low[0] + size[0])
    cut = np.s_[top - low[1] : bottom - low[1], left - low[0] : right - low[0]]
    alpha = np.asarray(cover, np.float32)[cut] / 255
    part = grey[top:bottom, left:right]
    part += alpha * (np.asarray(face, np.float32)[cut] - part)
    inner = corners.mean(0) + (corners - corners.mean(0)) / PICTURE
    across, down = np.ptp(inner, axis=0)
    x, y = inner.min(0)
    return Box(round(x), round(y), round(across), round(down))


def _seen(pose: Pose, turned: int) -> NDArray[np.float64]:
    """Corners of a square of side 1 about its middle, as the camera sees it."""
    yaw, roll = np.deg2rad(turned * pose.yaw_deg), np.deg2rad(turned * pose.roll_deg)
    flat = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    x, depth = flat[:, 0] * np.cos(yaw), flat[:, 0] * np.sin(yaw)
    seen = np.stack((x, flat[:, 1]), 1) * (_DISTANCE / (_DISTANCE + depth))[:, None]
    spin = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.asarray(seen @ spin.T)


def _homography(seen: NDArray[np.float64], source: NDArray[np.int64]) -> tuple[float, ...]:
    """Pillow's eight terms, from where the four corners are seen to where they come from."""
    rows, ends = [], []
    for (x, y), (u, v) in zip(seen, source, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        ends += [u, v]
    return tuple(np.linalg.solve(np.array(rows, float), np.array(ends, float)).tolist())


def _fading(edge: int) -> Image.Image:
    """How much of a picture of this side is seen: all in the middle, nothing in its corners."""
    across = np.abs(2 * (np.arange(edge) + 0.5) / edge - 1)
    radius = (across[:, None] ** 4 + across[None] ** 4) ** 0.25
    seen = np.clip((1 - radius) / (1 - _SOLID), 0, 1)
    return Image.fromarray((255 * seen).astype(np.uint8))
