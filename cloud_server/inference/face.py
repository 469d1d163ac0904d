"""A face, as a tail takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import Payload


@dataclass(frozen=True, eq=False)
class Crop:
    """A face's crop, ``pixels`` grey uint8 ``(224, 224)``, for head and local tail: nothing of
    it is quantised, so there is one rate."""

    pixels: NDArray[np.uint8]
    rate: ClassVar[int] = 0


# All know their ``rate``; a payload is yet to be read.
Face: TypeAlias = Latent | Payload | Crop
