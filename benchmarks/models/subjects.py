"""What is compared: the service's own networks, the other systems of the papers, and comparators,
each beside what its paper says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn

from benchmarks.models.comparators import comparator
from benchmarks.models.efficient_face import EfficientFace
from splitfer.shared.contracts import CROP_SIDE
from splitfer.shared.local_models import BACKBONE
from training.models.backbone import Backbone
from training.models.condensed import condense
from training.models.crop_classifier import SIZE_PX
from training.models.family import CLASSIFIERS, deployed
from training.models.split_model import SplitConfig, SplitModel

SHIPPED = SplitConfig(
    stem="small", cloud="ensemble", modules="none", label_sets=("crowd", "fer2013")
)


CLOUD = "cloud"


@dataclass(frozen=True)
class Subject:
    """One network: ``build`` makes it, and it takes ``(N, channels, side_px, side_px)``.

    ``trained_as``: what a user calls it where it is trained and in the weights, or ``cloud`` for
    their default cloud tail. ``paper``: what the paper's table says, by its columns. Without
    ``build`` the row is the paper's alone."""

    name: str
    paper: dict[str, str] = field(default_factory=dict)
    build: Callable[[], nn.Module] | None = None
    channels: int = 3
    side_px: int = CROP_SIDE
    trained_as: str = ""


class FullModel(nn.Module):
    """Head, quantiser and cloud tail on one machine."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.head, self.gains, self.tail = model.head, model.gains, model.cloud_tail

    def forward(self, crop: Tensor) -> Tensor:
        """``(N, 1, 224, 224)`` -> logits."""
        logits: Tensor = self.tail(self.gains(self.head(crop)[1], 0)[1])
        return logits


def _backbone(config: SplitConfig) -> nn.Module:
    model = SplitModel(config)
    return Backbone(model.head.stem, model.local_tail)


def _full(config: SplitConfig) -> nn.Module:
    return FullModel(SplitModel(config))


def untrained(name: str) -> nn.Module:
    """The classifier of this name as it is deployed, with random weights."""
    network = CLASSIFIERS[name](2)
    condense(network, 1.0)
    return deployed(network)


def _paper_001(parameters: str, macs: str, laptop: str, phone: str) -> dict[str, str]:
    return {"parameters, M": parameters, "MACs, G": macs, "laptop, ms": laptop, "phone, ms": phone}


def _paper_000(parameters: str, flops: str, speed: str, memory: str, acc: str) -> dict[str, str]:
    return {
        "parameters, MB": parameters,
        "FLOPs, M": flops,
        "Pi 3B+, FPS": speed,
        "memory, %": memory,
        "FER2013, %": acc,
    }


def _other(name: str, paper: dict[str, str], side_px: int = CROP_SIDE) -> Subject:
    return Subject(name, paper, partial(comparator, name), side_px=side_px)


def _own(name: str, paper: dict[str, str], classifier: str) -> Subject:
    build = partial(untrained, classifier)
    return Subject(name, paper, build, 1, SIZE_PX, trained_as=classifier)


# Paper 001, Table 4: pictures of 224 px.
TABLE_001_4 = (
    _other("ResNet-18", _paper_001("11.18", "1.82", "114.8", "249.3")),
    _other("ResNet-50", _paper_001("23.52", "4.12", "239.1", "510.8")),
    _other("MobileNetV2", _paper_001("2.23", "0.31", "29.3", "93.7")),
    Subject("EfficientFace", _paper_001("1.28", "0.15", "12.9", "32.7"), EfficientFace),
    Subject("MA-Net", _paper_001("42.29", "1.89", "139.0", "354.2")),
    Subject("RAN", _paper_001("11.19", "4.52", "255.7", "595.1")),
    Subject("backbone, as in 001", _paper_001("1.26", "0.15", "11.6", "25.4"),
            partial(_backbone, SplitConfig()), 1),
    Subject("full model, as in 001", _paper_001("1.91", "0.29", "27.6", "62.9"),
            partial(_full, SplitConfig()), 1),
    Subject("backbone, shipped", build=partial(_backbone, SHIPPED), channels=1,
            trained_as=BACKBONE),
    Subject("full model, shipped", build=partial(_full, SHIPPED), channels=1,
            trained_as=CLOUD),
)  # fmt: skip

# Paper 000, Tables 6 and 7: pictures of 44 px.
TABLE_000_6 = (
    _other("SqueezeNet", _paper_000("0.70", "18.12", "3.00", "18.6", "68.26"), SIZE_PX),
    Subject("SqueezeNext", _paper_000("0.56", "9.84", "2.16", "19.0", "67.48")),
    Subject("MobileNet", _paper_000("3.06", "27.69", "0.21", "24.2", "67.84")),
    _other("MobileNetV2", _paper_000("2.12", "16.57", "0.25", "25.0", "69.46"), SIZE_PX),
    _other("MobileNetV3-Small", _paper_000("1.18", "4.76", "0.92", "20.8", "66.39"), SIZE_PX),
    Subject("ShuffleNet", _paper_000("0.88", "7.42", "0.94", "20.5", "68.51")),
    _other("ShuffleNetV2", _paper_000("1.20", "8.14", "0.62", "20.6", "67.84"), SIZE_PX),
    Subject("IGCV3", _paper_000("2.11", "17.98", "0.24", "30.6", "69.90")),
    _other("EfficientNet-B0", _paper_000("6.82", "28.94", "0.13", "32.8", "69.43"), SIZE_PX),
    Subject("MixNet", _paper_000("5.55", "34.92", "0.17", "35.2", "69.82")),
    Subject("IGCV1", _paper_000("0.33", "32", "", "", "70.99")),
    Subject("Pelee", _paper_000("2.0", "14.6", "", "", "70.57")),
    _own("EdgeCNN-G", _paper_000("0.40", "2.7", "0.87", "19.7", "71.80"), "edgecnn-g"),
    _own("EdgeCNN", _paper_000("0.40", "52.28", "1.37", "19.1", "71.80"), "edgecnn"),
    _own("residual VGG19 (003)", {}, "vgg19"),
    _own("Light-FER (004)", {"FER2013, %": "69.87"}, "light-fer"),
    Subject("backbone, shipped", build=partial(_backbone, SHIPPED), channels=1,
            trained_as=BACKBONE),
)  # fmt: skip

TABLES = {"001.4": TABLE_001_4, "000.6": TABLE_000_6}
