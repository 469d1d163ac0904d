"""A classifier of small pictures behind the crop that every network here is given."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splitfer.shared.contracts import CROP_SIDE

# The side that FER2013's pictures have, which such classifiers learn from, and of the window of it
# that they are given.
PICTURE_PX, SIZE_PX = 48, 44


def reduction(size: int) -> Tensor:
    """What undoes the enlargement of a picture of 48 px to a crop, along one side: float32
    ``(size, 224)``, of the ``size`` px in the middle.

    A crop is a bilinear enlargement, so its picture is found again by least squares; of a crop with
    more detail it is the closest such picture.
    """
    ones = torch.eye(PICTURE_PX, dtype=torch.float64)[None]
    enlarge = F.interpolate(ones, size=CROP_SIDE, mode="linear")[0].T
    edge = (PICTURE_PX - size) // 2
    inverse: Tensor = torch.linalg.pinv(enlarge)
    return inverse[edge : edge + size].float()


def standardised_picture(pictures: Tensor) -> Tensor:
    """``(N, 1, H, W)`` in 0..255 -> mean 0 and deviation 1: light and contrast are not
    expression."""
    mean = pictures.mean(dim=(2, 3), keepdim=True)
    spread = pictures.var(dim=(2, 3), keepdim=True, unbiased=False)
    return (pictures - mean) * torch.rsqrt(spread + 1.0)


class CropClassifier(nn.Module):
    """uint8 crops ``(N, 1, 224, 224)`` -> logits ``(N, 7 L)`` of a classifier of ``size`` px, from
    the window in the middle."""

    def __init__(self, classifier: nn.Module, size: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("reduce", reduction(size))

    def forward(self, crop: Tensor) -> Tensor:
        """See the class."""
        assert isinstance(self.reduce, Tensor)
        pictures = self.reduce @ crop.float() @ self.reduce.T
        logits: Tensor = self.classifier(pictures)
        return logits
