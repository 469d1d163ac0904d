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

from splitfer.shared.labels import LabelSet
from training.models.asp import ASP, parse_directions
from training.models.bottleneck import DEFAULT_RATE, Decoder, Encoder, Gains, Prior
from training.models.ensemble import Ensemble
from training.models.lite_tail import LITE_CHANNELS, LiteTail
from training.models.residual_tail import WIDTHS, ResidualTail
from training.models.sfp import SFP, check_transform
from training.models.sfp_energy import SFPEnergy
from training.models.shufflenet_v2 import STAGE2_CHANNELS, Stem, Trunk
from training.models.small_stem import SmallStem

MODULES = ("none", "asp", "sfp", "asp+sfp", "sfp+asp", "sfp-energy", "asp+sfp-energy")
CLOUD_TAILS = ("shufflenet", "lite", "residual", "ensemble")
STEMS = ("paper", "small")
LABEL_SETS = tuple(one.value for one in LabelSet)
PIXEL_MEAN, PIXEL_STD = 127.5, 63.75


@dataclass(frozen=True)
class SplitConfig:
    """Options of one split model.

    ``cloud`` says what comes after the attention in the cloud: ShuffleNetV2's remaining stages as
    in paper 001, the blocks of a ``LiteTail``, those of a ``ResidualTail``, or the ``Ensemble`` of
    a whole ``LiteTail`` and a ``ResidualTail``, without attention. ``stem`` is ShuffleNetV2's as in
    the paper, or a ``SmallStem``. A tail answers each of ``label_sets`` from
    one trunk: its logits are ``(N, 7 L)``, one label set after the other.

    Raises:
        ValueError: the stem, cloud tail, label sets, modules, directions, wavelet, level or padding
            are not offered.
    """

    classes: int = 7
    label_sets: tuple[str, ...] = ("fer2013",)
    stem: str = "paper"
    cloud: str = "shufflenet"
    modules: str = "asp+sfp"
    directions: str = "H+V+FD+BD"
    wavelet: str = "db2"
    level: int = 3
    padding: str = "symmetric"

    def __post_init__(self) -> None:
        # TOML and JSON have lists.
        object.__setattr__(self, "label_sets", tuple(self.label_sets))
        if self.modules not in MODULES:
            raise ValueError(f"modules are one of {', '.join(MODULES)}, not {self.modules!r}")
        if self.cloud not in CLOUD_TAILS:
            raise ValueError(f"cloud is one of {', '.join(CLOUD_TAILS)}, not {self.cloud!r}")
        if self.stem not in STEMS:
            raise ValueError(f"stem is one of {', '.join(STEMS)}, not {self.stem!r}")
        if not self.label_sets or not set(self.label_sets) <= set(LABEL_SETS):
            raise ValueError(f"label_sets are of {', '.join(LABEL_SETS)}, not {self.label_sets}")
        if self.cloud == "ensemble" and self.modules != "none":
            raise ValueError(
                f"cloud ensemble has no attention: modules are none, not {self.modules}"
            )
        parse_directions(self.directions)
        check_transform(self.wavelet, self.level, self.padding)

    @property
    def outputs(self) -> int:
        """Logits of a tail: ``classes`` for each label set."""
        return self.classes * len(self.label_sets)


def attention(config: SplitConfig, channels: int = STAGE2_CHANNELS) -> nn.Sequential:
    """The attention modules in their order (paper 001, Table 2); empty for ``none``."""
    modules: list[nn.Module] = []
    for name in config.modules.split("+"):
        if name == "asp":
            modules.append(ASP(channels, parse_directions(config.directions)))
        elif name == "sfp":
            modules.append(SFP(channels, config.wavelet, config.level, config.padding))
        elif name == "sfp-energy":
            modules.append(SFPEnergy(channels, config.wavelet, config.level))
    return nn.Sequential(*modules)


def stem_features(stem: Stem | SmallStem, crop: Tensor) -> Tensor:
    """``(N, 1, H, W)`` grey 0..255, float -> what the stem makes of it."""
    if isinstance(stem, SmallStem):
        features: Tensor = stem(crop)
    else:
        features = stem(((crop - PIXEL_MEAN) / PIXEL_STD).expand(-1, 3, -1, -1))
    return features


class Head(nn.Module):
    """What the edge runs first: crop -> (features, z).

    The crop is grey ``(N, 1, H, W)``, uint8 or float in 0..255, replicated to three channels.
    Returns the uncut features ``(N, 116, H/8, W/8)`` and ``z`` ``(N, 8, H/8, W/8)``, the latent
    before rounding.
    """

    def __init__(self, config: SplitConfig | None = None) -> None:
        super().__init__()
        config = config or SplitConfig()
        self.stem: Stem | SmallStem = SmallStem() if config.stem == "small" else Stem()
        self.encoder = Encoder(STAGE2_CHANNELS)

    def features(self, crop: Tensor) -> Tensor:
        """``(N, 1, H, W)`` grey 0..255 -> ``(N, 116, H/8, W/8)``; by a ``SmallStem`` always
        ``(N, 116, 28, 28)``."""
        return stem_features(self.stem, crop.to(self.encoder.conv.weight.dtype))

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
        self.trunk = Trunk(config.outputs)

    def forward(self, y_hat: Tensor) -> Tensor:
        """Logits ``(N, 7)``."""
        logits: Tensor = self.trunk(self.attention(self.decoder(y_hat)))
        return logits


def cloud_tail(config: SplitConfig) -> CloudTail | LiteTail | ResidualTail | Ensemble:
    """The cloud tail that ``config`` names."""
    if config.cloud == "ensemble":
        lite = LiteTail(nn.Sequential(), config.outputs, whole=True)
        return Ensemble([lite, ResidualTail(nn.Sequential(), config.outputs)], mirrored=True)
    if config.cloud == "lite":
        return LiteTail(attention(config, LITE_CHANNELS), config.outputs)
    if config.cloud == "residual":
        return ResidualTail(attention(config, WIDTHS[0]), config.outputs)
    return CloudTail(config)


class Outputs(NamedTuple):
    """Logits ``(N, 7 L)`` of both paths, and the values ``v`` ``(N, 8, H, W)`` that were sent."""

    local: Tensor
    cloud: Tensor
    values: Tensor


class SplitModel(nn.Module):
    """Head, rates, local tail and cloud tail, trained and exported together."""

    def __init__(self, config: SplitConfig | None = None) -> None:
        super().__init__()
        self.config = config or SplitConfig()
        self.head = Head(self.config)
        self.gains = Gains()
        self.prior = Prior()
        self.local_tail = LocalTail(self.config.outputs)
        self.cloud_tail = cloud_tail(self.config)

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
