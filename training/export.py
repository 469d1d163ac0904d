"""Write a trained model as a folder of weights: ``python -m training.export --run NAME``.

The folder is named by the fingerprint. Temperatures are fitted on the part of Training that was
held out; accuracies are measured with the exported files.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from shared.contracts import CROP_SIDE
from shared.contracts import Path as AnswerPath
from shared.labels import LABELS
from shared.models.split_model import SplitModel
from shared.preprocess import CropGeometry, enlarge_crop
from shared.runtime import Head, Tail
from shared.weights.manifest import LOCAL_TAIL, FileEntry, Manifest, TailEntry, fingerprint
from training.datasets import Faces, data_path, load_fer2013, split_off
from training.onnx_models import export_model, torch_outputs
from training.recipe import read_recipe
from training.train import HOLDOUT_SHARE

WEIGHTS = Path("shared/weights")
CLOUD_TAIL = "cloud"
# Medians of `python -m training.measure_crop --most 1500`.
CROP = CropGeometry(scale=1.2444, shift_x=0.0, shift_y=-0.1111)


def golden_crops() -> NDArray[np.uint8]:
    """Inputs that reach the whole range: smooth waves and noise, uint8 ``(2, 224, 224)``."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:CROP_SIDE, 0:CROP_SIDE] / CROP_SIDE
    waves = 127.5 + 60 * np.sin(9 * x + 4 * np.sin(5 * y)) + 60 * np.cos(7 * y - 3 * x)
    noise = enlarge_crop(rng.integers(0, 256, (48, 48), dtype=np.uint8))
    return np.stack((waves.clip(0, 255).astype(np.uint8), noise))


def write_weights(
    model: SplitModel,
    root: Path,
    origin: dict[str, Any],
    temperatures: dict[str, float] | None = None,
    accuracy: dict[str, dict[str, float]] | None = None,
) -> Path:
    """Export ``model`` under ``root``; gives the folder, named by the fingerprint."""
    files = {f"{name}.onnx": data for name, data in export_model(model).items()}
    crops = golden_crops()
    outputs = torch_outputs(model, crops)
    golden = io.BytesIO()
    np.savez_compressed(
        golden, crops=crops, latents=outputs["latent"],
        logits_local=outputs["local"], logits_cloud=outputs["cloud"],
    )  # fmt: skip
    files["golden.npz"] = golden.getvalue()

    def entry(name: str) -> dict[str, str]:
        return {"file": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    def tail(name: str, path: AnswerPath) -> TailEntry:
        return TailEntry(
            **entry(f"{name}.onnx"), path=path,
            temperature=(temperatures or {}).get(name, 1.0),
            accuracy=(accuracy or {}).get(name, {}),
        )  # fmt: skip

    tensors = {name: tensor.numpy() for name, tensor in model.head.state_dict().items()}
    manifest = Manifest(
        fingerprint=fingerprint(tensors, LABELS, CROP), labels=LABELS, crop=CROP,
        head=FileEntry(**entry("head.onnx")), golden=FileEntry(**entry("golden.npz")),
        tails={
            LOCAL_TAIL: tail(LOCAL_TAIL, AnswerPath.LOCAL),
            CLOUD_TAIL: tail(CLOUD_TAIL, AnswerPath.CLOUD),
        },
        default_tail=CLOUD_TAIL, origin=origin,
    )  # fmt: skip
    folder = root / manifest.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=2) + "\n")
    return folder


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the cross entropy of ``(N, 7)`` logits (Guo et al., 2017)."""
    x, y = torch.from_numpy(logits), torch.from_numpy(labels)
    candidates = np.exp(np.linspace(np.log(0.2), np.log(5.0), 400))
    losses = [torch.nn.functional.cross_entropy(x / float(t), y).item() for t in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 4)


def exported_logits(files: dict[str, bytes], faces: Faces) -> dict[str, NDArray[np.float32]]:
    """Logits ``(N, 7)`` per tail, by the exported files."""
    head = Head(files["head"], 2)
    tails = {name: Tail(files[name], 2, 1.0) for name in (LOCAL_TAIL, CLOUD_TAIL)}
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tails}
    for start in tqdm(range(0, len(faces), 32), desc="exported model", unit="batch"):
        crops = np.stack([enlarge_crop(p) for p in faces.pictures[start : start + 32]])
        features, latents = head.run(crops)
        rows[LOCAL_TAIL].append(tails[LOCAL_TAIL].logits(features))
        rows[CLOUD_TAIL].append(tails[CLOUD_TAIL].logits(latents))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--run", default="base", help="name of the run")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--default", action="store_true", help="make them the default weights")
    arguments = parser.parse_args()

    recipe = read_recipe(Path("training/runs") / arguments.run / "recipe.toml")
    model = SplitModel(recipe.model)
    state = torch.load(Path(".checkpoints") / arguments.run / "last.pt", map_location="cpu")
    model.load_state_dict(state["model"])

    data = data_path(arguments.data)
    held_out = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)[1]
    public_test = load_fer2013(data, "PublicTest")
    files = export_model(model)
    fitted = exported_logits(files, held_out)
    temperatures = {name: fit_temperature(x, held_out.labels) for name, x in fitted.items()}
    accuracy = {
        name: {"PublicTest": round(float((x.argmax(1) == public_test.labels).mean()), 5)}
        for name, x in exported_logits(files, public_test).items()
    }
    origin = {"data": "FER2013 Training", "run": f"training/runs/{arguments.run}"}
    folder = write_weights(model, arguments.weights, origin, temperatures, accuracy)
    if arguments.default:
        (arguments.weights / "DEFAULT").write_text(folder.name + "\n")
    print(json.dumps({"folder": str(folder), "temperature": temperatures, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
