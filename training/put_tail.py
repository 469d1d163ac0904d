"""A tail put into a folder of weights that exists; head and latent stand still."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shared.contracts import Path as AnswerPath
from shared.weights import Weights
from shared.weights.manifest import LOCAL_TAIL, FileEntry, TailEntry
from training.onnx_models import ExportedCloudTail, export_cloud_tail, export_local_tail


def put_tail(folder: Path, name: str, tail: nn.Module, origin: str) -> None:
    """Write ``tail`` with golden logits and where it comes from; replaces one of the same name.

    The one called ``local`` takes features, every other one ``y_hat``. Nothing is measured: the
    temperature is 1.
    """
    weights = Weights(folder)
    manifest = weights.manifest
    local = name == LOCAL_TAIL
    data = export_local_tail(tail) if local else export_cloud_tail(tail)
    with torch.no_grad():
        logits = (_local_logits if local else _cloud_logits)(weights, tail.eval()).numpy()
    with np.load(io.BytesIO((folder / manifest.golden.file).read_bytes())) as file:
        arrays = {key: file[key] for key in file.files}
    packed = io.BytesIO()
    np.savez_compressed(packed, **{**arrays, f"logits_{name}": logits})

    (folder / f"{name}.onnx").write_bytes(data)
    (folder / manifest.golden.file).write_bytes(packed.getvalue())
    entry = TailEntry(
        file=f"{name}.onnx", sha256=hashlib.sha256(data).hexdigest(),
        path=AnswerPath.LOCAL if local else AnswerPath.CLOUD, temperature=1.0, accuracy={},
    )  # fmt: skip
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    manifest = manifest.model_copy(update={
        "tails": {**manifest.tails, name: entry},
        "golden": FileEntry(file=manifest.golden.file, sha256=sha256),
        "origin": {**manifest.origin, name: origin},
    })  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")


def _local_logits(weights: Weights, tail: nn.Module) -> Tensor:
    features, _ = weights.head(1).run(weights.golden.crops)
    logits: Tensor = tail(torch.from_numpy(features))
    return logits


def _cloud_logits(weights: Weights, tail: nn.Module) -> Tensor:
    step = torch.from_numpy(weights.quantiser.steps(weights.rate_index(""))).expand(2, -1)
    return ExportedCloudTail(tail)(torch.from_numpy(weights.golden.latents), step)  # type: ignore[no-any-return]
