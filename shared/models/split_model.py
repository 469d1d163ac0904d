"""One head, two tails: the whole network as the edge and the cloud share it.

    crop (N,1,224,224) -> Head -> features (N,116,28,28) -> LocalTail -> logits     path "local"
                               \\-> z        (N,  8,28,28) -> quantise at a rate
                                     -> y_hat (N,  8,28,28) -> CloudTail -> logits     path "cloud"

`image` is Head and CloudTail on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from shared.models.asp import ASP, parse_directions
from shared.models.bottleneck import DEFAULT_RATE, Decoder, Encoder, Gains, Prior
from shared.models.lite_tail import LITE_CHANNELS, LiteTail
from shared.models.sfp import SFP, check_transform
from shared.models.sfp_energy import SFPEnergy
from shared.models.shufflenet_v2 import STAGE2_CHANNELS, Stem, Trunk

MODULES = ("none", "asp", "sfp", "asp+sfp", "sfp+asp", "sfp-energy", "asp+sfp-energy")
CLOUD_TAILS = ("shufflenet", "lite")
PIXEL_MEAN, PIXEL_STD = 127.5, 63.75


@dataclass(frozen=True)
class SplitConfig:
    """Options of one split model.

    ``cloud`` says what comes after the attention in the cloud: ShuffleNetV2's remaining stages as
    in paper 001, or the blocks of a ``LiteTail``.

    Raises:
        ValueError: the cloud tail, modules, directions, wavelet or level are not offered.
    """

    classes: int = 7
    cloud: str = "shufflenet"
    modules: str = "asp+sfp"
    directions: str = "H+V+FD+BD"
    wavelet: str = "db2"
    level: int = 3

    def __post_init__(self) -> None:
        if self.modules not in MODULES:
            raise ValueError(f"modules are one of {', '.join(MODULES)}, not {self.modules!r}")
        if self.cloud not in CLOUD_TAILS:
            raise ValueError(f"cloud is one of {', '.join(CLOUD_TAILS)}, not {self.cloud!r}")
        parse_directions(self.directions)
        check_transform(self.wavelet, self.level)


def attention(config: SplitConfig, channels: int = STAGE2_CHANNELS) -> nn.Sequential:
    """The attention modules in their order (paper 001, Table 2); empty for ``none``."""
    modules: list[nn.Module] = []
    for name in config.modules.split("+"):
        if name == "asp":
            modules.append(ASP(channels, parse_directions(config.directions)))
        elif name == "sfp":
            modules.append(SFP(channels, config.wavelet, config.level))
        elif name == "sfp-energy":
            modules.append(SFPEnergy(channels, config.wavelet, config.level))
    return nn.Sequential(*modules)


class Head(nn.Module):
    """What the edge runs first: crop -> (features, z).

    The crop is grey ``(N, 1, H, W)``, uint8 or float in 0..255, replicated to three channels.
    Returns the uncut features ``(N, 116, H/8, W/8)`` and ``z`` ``(N, 8, H/8, W/8)``, the latent
    before rounding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.encoder = Encoder(STAGE2_CHANNELS)

    def features(self, crop: Tensor) -> Tensor:
        """``(N, 1, H, W)`` grey 0..255 -> ``(N, 116, H/8, W/8)``."""
        grey = (crop.to(self.encoder.conv.weight.dtype) - PIXEL_MEAN) / PIXEL_STD
        features: Tensor = self.stem(grey.expand(-1, 3, -1, -1))
        return features

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """``(features, z)`` of the crop."""
        features = self.features(crop)
        return features, self.encoder(features)


class LocalTail(Trunk):
    """Backbone only: features ``(N, 116, H, W)`` -> logits ``(N, 7)``."""


class CloudTail(nn.Module):
    """Decoder, attention, trunk: ``y_hat`` ``(N, 8, H, W)`` -> logits ``(N, 7)``."""

    def __init__(self, config: SplitConfig) -> None:
        super().__init__()
        self.decoder = Decoder(STAGE2_CHANNELS)
        self.attention = attention(config)
        self.trunk = Trunk(config.classes)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, 7)``."""
        logits: Tensor = self.trunk(self.attention(self.decoder(y_hat)))
        return logits


class Outputs(NamedTuple):
    """Logits ``(N, 7)`` of both paths, and the values ``v`` ``(N, 8, H, W)`` that were sent."""

    local: Tensor
    cloud: Tensor
    values: Tensor


class SplitModel(nn.Module):
    """Head, rates, local tail and cloud tail, trained and exported together."""

    def __init__(self, config: SplitConfig | None = None) -> None:
        super().__init__()
        self.config = config or SplitConfig()
        self.head = Head()
        self.gains = Gains()
        self.prior = Prior()
        self.local_tail = LocalTail(self.config.classes)
        self.cloud_tail: CloudTail | LiteTail = (
            LiteTail(attention(self.config, LITE_CHANNELS), self.config.classes)
            if self.config.cloud == "lite"
            else CloudTail(self.config)
        )

    def local(self, crop: Tensor) -> Tensor:
        """Logits ``(N, 7)`` by path `local`."""
        logits: Tensor = self.local_tail(self.head.features(crop))
        return logits

    def cloud(self, crop: Tensor, rate: int = DEFAULT_RATE) -> Tensor:
        """Logits ``(N, 7)`` by paths `cloud` and `image`, with the quantiser in the loop."""
        logits: Tensor = self.cloud_tail(self.gains(self.head(crop)[1], rate)[1])
        return logits

    def forward(self, crop: Tensor, rate: int = DEFAULT_RATE) -> Outputs:
        """Both paths from one run of the head."""
        features, z = self.head(crop)
        values, y_hat = self.gains(z, rate)
        return Outputs(self.local_tail(features), self.cloud_tail(y_hat), values)
