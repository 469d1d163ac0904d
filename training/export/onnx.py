"""The three networks as they are exported: integer latents in and out, one file each."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splitfer.shared.contracts import CROP_SIDE, FEATURES_SHAPE, LATENT_SHAPE
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.weights.runtime import tail_outputs
from training.models.bottleneck import DEFAULT_RATE, LATENT_CHANNELS, dequantise, quantise
from training.models.split_model import Head, SplitModel

OPSET = 18
FER2013_ALONE = (LabelSet.FER2013.value,)


class ExportedHead(nn.Module):
    """uint8 crop ``(N, 1, 224, 224)`` -> features ``(N, 116, 28, 28)``, z ``(N, 8, 28, 28)``."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Features and ``z``, float."""
        features, z = self.head(crop.float())
        return features, z


class ExportedCloudTail(nn.Module):
    """uint8 latent ``(N, 8, 28, 28)``, step ``(N, 8)`` -> logits ``(N, 7 L)``."""

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, latent: Tensor, step: Tensor) -> Tensor:
        """Logits of symbols."""
        logits: Tensor = self.tail(dequantise(latent.float(), step))
        return logits


class _LocalByLabelSet(nn.Module):
    """A tail on a device whose logits ``(N, 7 L)`` come as L outputs ``(N, 7)``."""

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """One output a label set."""
        return torch.split(self.tail(features), len(LABELS), dim=1)


class _CloudByLabelSet(nn.Module):
    """A cloud tail in the same way."""

    def __init__(self, tail: nn.Module) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, latent: Tensor, step: Tensor) -> tuple[Tensor, ...]:
        """One output a label set, of symbols."""
        return torch.split(self.tail(dequantise(latent.float(), step)), len(LABELS), dim=1)


def export_model(model: SplitModel) -> dict[str, bytes]:
    """``head``, ``local`` and ``cloud`` as ONNX bytes, batch dimension dynamic, data inside."""
    # torch's stub of Module.to knows no memory_format.
    model = model.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    crop = torch.zeros(2, 1, CROP_SIDE, CROP_SIDE, dtype=torch.uint8)
    label_sets = model.config.label_sets
    return {
        "head": _export(ExportedHead(model.head), {"crop": crop}, ("features", "z")),
        "local": export_local_tail(model.local_tail, label_sets),
        "cloud": export_cloud_tail(model.cloud_tail, label_sets),
    }


def export_local_tail(tail: nn.Module, label_sets: Sequence[str] = FER2013_ALONE) -> bytes:
    """A local tail, which takes features ``(N, 116, 28, 28)``, as ONNX bytes with an output for
    each of ``label_sets``, in the order of its logits."""
    module = tail if len(label_sets) == 1 else _LocalByLabelSet(tail)
    examples = {"features": torch.zeros(2, *FEATURES_SHAPE)}
    return _export(module, examples, tail_outputs(label_sets))


def export_crop_classifier(
    classifier: nn.Module, label_sets: Sequence[str] = FER2013_ALONE
) -> bytes:
    """A classifier, which takes uint8 crops ``(N, 1, 224, 224)``, as ONNX bytes with an output for
    each of ``label_sets``, in the order of its logits."""
    module = classifier if len(label_sets) == 1 else _LocalByLabelSet(classifier)
    examples = {"crop": torch.zeros(2, 1, CROP_SIDE, CROP_SIDE, dtype=torch.uint8)}
    return _export(module, examples, tail_outputs(label_sets))


def export_cloud_tail(tail: nn.Module, label_sets: Sequence[str] = FER2013_ALONE) -> bytes:
    """One cloud tail, which takes ``y_hat`` ``(N, 8, 28, 28)``, as ONNX bytes with an output for
    each of ``label_sets``, in the order of its logits."""
    latent, step = torch.zeros(2, *LATENT_SHAPE).byte(), torch.ones(2, LATENT_CHANNELS)
    module = (ExportedCloudTail if len(label_sets) == 1 else _CloudByLabelSet)(tail)
    return _export(module, {"latent": latent, "step": step}, tail_outputs(label_sets))


def by_label_set(logits: NDArray[Any], label_sets: Sequence[str]) -> dict[LabelSet, NDArray[Any]]:
    """Flat logits ``(N, 7 L)`` as torch gives them -> ``(N, 7)`` by label set.

    Raises:
        ValueError: there are more or fewer.
    """
    wanted = len(LABELS) * len(label_sets)
    if logits.shape[1] != wanted:
        raise ValueError(
            f"a tail of {' and '.join(label_sets)} has {wanted} logits, not {logits.shape[1]}"
        )
    parts = np.split(logits, len(label_sets), axis=1)
    return {LabelSet(name): part for name, part in zip(label_sets, parts, strict=True)}


@torch.no_grad()
def torch_outputs(model: SplitModel, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """What torch gives for uint8 crops ``(N, 224, 224)``: features, z, latent (at the default
    rate), local, cloud."""
    model = model.float().eval()
    features, z = ExportedHead(model.head)(torch.from_numpy(crops)[:, None])
    gain = model.gains.gains()[DEFAULT_RATE]
    latent = quantise(z, gain).to(torch.uint8)
    local = model.local_tail(features)
    cloud = ExportedCloudTail(model.cloud_tail)(latent, (1 / gain).expand(len(crops), -1))
    named = {"features": features, "z": z, "latent": latent, "local": local, "cloud": cloud}
    return {name: tensor.numpy() for name, tensor in named.items()}


def _export(module: nn.Module, examples: dict[str, Tensor], outputs: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    batch = torch.export.Dim("N", min=1, max=4096)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)  # it says of torchvision that it is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own internals
        program = torch.onnx.export(
            module.eval(),
            tuple(examples.values()),
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in examples),
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    exporter_log.setLevel(level)
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    buffer.write(model.SerializeToString())
    return buffer.getvalue()
