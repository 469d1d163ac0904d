"""Arbitrary-oriented Spatial Pooling: one weight per pixel, from means along four directions.

Paper 001, section 3.2, equations 2 to 9. The paper pools C channels along every line and then
projects them to one with a 1x1 convolution. Both are linear and a mean keeps a constant, so
projecting first and pooling one channel gives the same numbers for 1/C of the work:

    x (N,C,H,W) -> project (N,1,H,W) -> mean along each line (N,lines) -> sigmoid
                -> back onto the line's pixels (N,1,H,W), one map per direction
    answer = x * product of the maps
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

DIRECTIONS = ("H", "V", "FD", "BD")


def parse_directions(text: str) -> tuple[str, ...]:
    """``"H+V+FD"`` -> ``("H", "V", "FD")``, in the canonical order.

    Raises:
        ValueError: a name is unknown or repeated, or none is given.
    """
    names = text.split("+")
    if len(set(names)) != len(names) or not set(names) <= set(DIRECTIONS):
        raise ValueError(f"ASP directions are a subset of {'+'.join(DIRECTIONS)}, not {text!r}")
    return tuple(name for name in DIRECTIONS if name in names)


@cache
def line_index(direction: str, height: int, width: int) -> NDArray[np.int64]:
    """Which line of ``direction`` each pixel lies on: int64 ``(H * W,)``, from 0.

    Rows (H), columns (V), forward diagonals (FD: i + j constant, eq. 7) and backward ones
    (BD: from the top right corner to the bottom left one, eq. 9).
    """
    i, j = np.indices((height, width))
    lines = {"H": i, "V": j, "FD": i + j, "BD": i - j + width - 1}
    return lines[direction].reshape(-1)


@cache
def line_means(direction: str, height: int, width: int) -> NDArray[np.float32]:
    """The matrix that takes a flat map to the means of its lines: float32 ``(H * W, lines)``."""
    index = line_index(direction, height, width)
    onehot = np.eye(index.max() + 1, dtype=np.float64)[index]
    return np.asarray(onehot / onehot.sum(axis=0), dtype=np.float32)


class ASP(nn.Module):
    """Spatial attention (paper 001, section 3.2): ``(N, C, H, W)`` -> ``(N, C, H, W)``.

    One projection is shared by rows and columns, one by the two diagonals, as in the paper.
    The attention lies in (0, 1) per pixel and is the same for every channel.

    Raises:
        ValueError: a direction is unknown or repeated, or none is given.
    """

    def __init__(self, channels: int, directions: tuple[str, ...] = DIRECTIONS) -> None:
        super().__init__()
        self.directions = parse_directions("+".join(directions))
        self.straight = nn.Conv2d(channels, 1, 1) if {"H", "V"} & set(directions) else None
        self.diagonal = nn.Conv2d(channels, 1, 1) if {"FD", "BD"} & set(directions) else None

    def attention(self, x: Tensor) -> Tensor:
        """The map that weights ``x``: ``(N, 1, H, W)``, each value in (0, 1)."""
        n, _, h, w = x.shape
        projected = {
            name: conv(x).view(n, h * w)
            for name, conv in (("straight", self.straight), ("diagonal", self.diagonal))
            if conv is not None
        }
        weight = x.new_ones(1, h * w)
        for direction in self.directions:
            flat = projected["straight" if direction in ("H", "V") else "diagonal"]
            means = torch.from_numpy(line_means(direction, h, w)).to(flat)
            index = torch.from_numpy(line_index(direction, h, w)).to(x.device)
            weight = weight * torch.sigmoid(flat @ means).index_select(1, index)
        return weight.view(n, 1, h, w)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` weighted by its attention."""
        return x * self.attention(x)
