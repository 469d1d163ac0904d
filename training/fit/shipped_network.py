"""A shipped local model as a torch network that answers as its file does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from training.export.half import widened
from training.fit.shipped import load_shipped, shipped_config
from training.models.backbone import Backbone
from training.models.condensed import condense
from training.models.crop_classifier import SIZE_PX, CropClassifier
from training.models.family import CLASSIFIERS, deployed
from training.models.split_model import Head, LocalTail


@torch.no_grad()
def shipped_network(weights: Weights, name: str, pictures: NDArray[np.uint8]) -> nn.Module:
    """The local model that a user calls ``name``, for crops ``(N, 1, 224, 224)``, of which
    ``pictures`` ``(N, 48, 48)`` are some: the norms' statistics are measured on them.

    Raises:
        ConfigError: these weights have no such model; the message names those they have.
        ValueError: it is of no network of this code, or its file does not name its parts.
    """
    tail, folder = weights.local_tail(name), weights.folder
    crops = torch.from_numpy(np.stack([enlarge_crop(one) for one in pictures]))[:, None].float()
    file = folder / weights.manifest.tails[tail].file
    if tail == LOCAL_TAIL:
        config = shipped_config(folder, weights.manifest.default_tail)
        head, local = Head(config), LocalTail(config.outputs)
        load_shipped(head, folder / weights.manifest.head.file, "head.", crops)
        load_shipped(local, file, _prefix(file), head.eval().features(crops))
        return Backbone(head.stem, local).eval()
    if name not in CLASSIFIERS:
        raise ValueError(f"{name} is of no network of this code: {', '.join(CLASSIFIERS)} are")
    network = CLASSIFIERS[name](len(weights.manifest.tails[tail].answers))
    condense(network, 1.0)
    whole = CropClassifier(deployed(network), SIZE_PX)
    with tempfile.TemporaryDirectory() as place:
        wide = Path(place, file.name)
        onnx.save_model(widened(onnx.load(file)), wide)
        prefix = _prefix(wide)
        _load_indices(whole, wide, prefix)
        load_shipped(whole, wide, prefix, crops)
    return whole.eval()


def _prefix(file: Path) -> str:
    names = [one.name for one in onnx.load(file).graph.initializer]
    return "tail." if any(name.startswith("tail.") for name in names) else ""


def _load_indices(network: nn.Module, file: Path, prefix: str) -> None:
    """Which inputs the groups of learned group convolutions kept; no parameters, so
    ``load_shipped`` leaves them.

    Raises:
        ValueError: the exporter has given them names of its own.
    """
    arrays = {one.name: one for one in onnx.load(file).graph.initializer}
    for name, buffer in network.named_buffers():
        if name.endswith(".index"):
            if f"{prefix}{name}" not in arrays:
                raise ValueError(f"{file.name} has no {prefix}{name}: it cannot be read back")
            buffer.copy_(torch.from_numpy(numpy_helper.to_array(arrays[f"{prefix}{name}"]).copy()))
