"""The backbone alone, from the crop to the logits: what answers on a device without a link."""

from __future__ import annotations

from torch import Tensor, nn

from training.models.shufflenet_v2 import Stem
from training.models.small_stem import SmallStem
from training.models.split_model import LocalTail, stem_features


class Backbone(nn.Module):
    """Stem and local tail: crops ``(N, 1, 224, 224)`` in 0..255 -> logits ``(N, 7 L)``."""

    def __init__(self, stem: Stem | SmallStem, tail: LocalTail) -> None:
        super().__init__()
        self.stem, self.tail = stem, tail

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.tail(stem_features(self.stem, crops.float()))
        return logits
