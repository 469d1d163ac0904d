"""The three networks as they are exported: integer latents in and out, one file each."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.contracts import CROP_SIDE, FEATURES_SHAPE, LATENT_SHAPE
from shared.models.bottleneck import dequantise, quantise
from shared.models.split_model import CloudTail, Head, SplitModel

OPSET = 18


class ExportedHead(nn.Module):
    """uint8 crop ``(N, 1, 224, 224)`` -> features ``(N, 116, 28, 28)``, latent uint8
    ``(N, 8, 28, 28)``."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Features and symbols."""
        features, z = self.head(crop.float())
        return features, quantise(z).to(torch.uint8)


class ExportedCloudTail(nn.Module):
    """uint8 latent ``(N, 8, 28, 28)`` -> logits ``(N, 7)``."""

    def __init__(self, tail: CloudTail) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, latent: Tensor) -> Tensor:
        """Logits of symbols."""
        logits: Tensor = self.tail(dequantise(latent.float()))
        return logits


def export_model(model: SplitModel) -> dict[str, bytes]:
    """``head``, ``local`` and ``cloud`` as ONNX bytes, batch dimension dynamic, data inside."""
    # torch's stub of Module.to knows no memory_format.
    model = model.float().eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    crop = torch.zeros(2, 1, CROP_SIDE, CROP_SIDE, dtype=torch.uint8)
    features = torch.zeros(2, *FEATURES_SHAPE)
    return {
        "head": _export(ExportedHead(model.head), crop, "crop", ["features", "latent"]),
        "local": _export(model.local_tail, features, "features", ["logits"]),
        "cloud": export_cloud_tail(model.cloud_tail),
    }


def export_cloud_tail(tail: CloudTail) -> bytes:
    """One cloud tail as ONNX bytes."""
    latent = torch.zeros(2, *LATENT_SHAPE).byte()
    return _export(ExportedCloudTail(tail), latent, "latent", ["logits"])


@torch.no_grad()
def torch_outputs(model: SplitModel, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """What torch gives for uint8 crops ``(N, 224, 224)``: features, latent, local, cloud."""
    model = model.float().eval()
    features, latent = ExportedHead(model.head)(torch.from_numpy(crops)[:, None])
    local, cloud = model.local_tail(features), ExportedCloudTail(model.cloud_tail)(latent)
    named = {"features": features, "latent": latent, "local": local, "cloud": cloud}
    return {name: tensor.numpy() for name, tensor in named.items()}


def _export(module: nn.Module, example: Tensor, source: str, outputs: list[str]) -> bytes:
    buffer = io.BytesIO()
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)  # it says of torchvision that it is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own internals
        program = torch.onnx.export(
            module.eval(), (example,), input_names=[source], output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096)},),
            opset_version=OPSET, dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
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
