"""Networks of others, by torchvision's definitions: untrained, for parameters,
multiply-accumulates, memory and time alone."""

from __future__ import annotations

from torch import nn

from splitfer.shared.errors import ConfigError
from splitfer.shared.labels import LABELS

TORCHVISION = {
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3-Small": "mobilenet_v3_small",
    "SqueezeNet": "squeezenet1_0",
    "ShuffleNetV2": "shufflenet_v2_x1_0",
    "EfficientNet-B0": "efficientnet_b0",
}
# Of detectors: no classifier runs them, but without them torchvision cannot be imported beside a
# torch that was built for another processor than it was.
_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def comparator(name: str) -> nn.Module:
    """The network with seven classes; takes ``(N, 3, H, W)``.

    Raises:
        ConfigError: torchvision is not installed.
    """
    try:
        models = _torchvision_models()
    except ImportError as error:
        raise ConfigError(
            "torchvision, whose networks are compared with, is not installed: "
            f"pip install torchvision, of the release that goes with torch ({error})"
        ) from error
    made: nn.Module = getattr(models, TORCHVISION[name])(num_classes=len(LABELS))
    return made


def _torchvision_models() -> object:
    try:
        from torchvision import models
    except RuntimeError:  # "operator torchvision::nms does not exist"
        import torch

        # torch publishes no types for these.
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for one in _OPERATORS:
            library.define(f"{one}{_SCHEMA}")  # type: ignore[no-untyped-call]
        _kept.append(library)
        from torchvision import models
    return models


# A library that is collected takes its operators with it.
_kept: list[object] = []
