"""A cloud tail put beside the others in a folder of weights that exists."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import nn

from shared.contracts import Path as AnswerPath
from shared.weights import Weights
from shared.weights.manifest import FileEntry, TailEntry
from training.onnx_models import ExportedCloudTail, export_cloud_tail


def add_tail(folder: Path, name: str, tail: nn.Module, origin: str) -> None:
    """Write ``tail`` beside the others, with golden logits and where it comes from; replaces one
    of the same name."""
    weights = Weights(folder)
    manifest, golden = weights.manifest, weights.golden
    data = export_cloud_tail(tail)
    step = torch.from_numpy(weights.quantiser.steps(weights.rate_index(""))).expand(2, -1)
    with torch.no_grad():
        logits = ExportedCloudTail(tail.eval())(torch.from_numpy(golden.latents), step).numpy()
    with np.load(io.BytesIO((folder / manifest.golden.file).read_bytes())) as file:
        arrays = {key: file[key] for key in file.files}
    packed = io.BytesIO()
    np.savez_compressed(packed, **{**arrays, f"logits_{name}": logits})

    (folder / f"{name}.onnx").write_bytes(data)
    (folder / manifest.golden.file).write_bytes(packed.getvalue())
    entry = TailEntry(
        file=f"{name}.onnx", sha256=hashlib.sha256(data).hexdigest(), path=AnswerPath.CLOUD,
        temperature=1.0, accuracy={},
    )  # fmt: skip
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    manifest = manifest.model_copy(update={
        "tails": {**manifest.tails, name: entry},
        "golden": FileEntry(file=manifest.golden.file, sha256=sha256),
        "origin": {**manifest.origin, name: origin},
    })  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
