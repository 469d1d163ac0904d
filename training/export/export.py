"""Write a trained model as a folder of weights: ``python -m training.export.export --run NAME``.

The folder is named by the fingerprint. The tables of the entropy code are fitted on latents of
Training; then ``training.export.calibrate`` measures the folder and completes its manifest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from splitfer.shared.codec.entropy import EntropyTables
from splitfer.shared.codec.payload import MAX_PAYLOAD_BYTES
from splitfer.shared.codec.quantiser import Quantiser
from splitfer.shared.contracts import CROP_SIDE, AnswerPath
from splitfer.shared.labels import LABELS
from splitfer.shared.vision.crop import Cropping, enlarge_crop
from splitfer.shared.weights.golden import golden_names
from splitfer.shared.weights.manifest import (
    LOCAL_TAIL,
    FileEntry,
    Manifest,
    RateEntry,
    fingerprint,
)
from splitfer.shared.weights.meaning import meaning_of
from splitfer.shared.weights.runtime import Head
from splitfer.shared.whole_file import write_whole
from training.data.datasets import (
    HOLDOUT_SHARE,
    DataError,
    Faces,
    data_path,
    load_fer2013,
    split_off,
)
from training.data.votes import votes_or_none
from training.export.calibrate import measure_folder
from training.export.entropy import fit_tables
from training.export.folder import NOT_WRITTEN, Arrays, put_files, unmeasured, write_tails
from training.export.onnx import by_label_set, export_model, torch_outputs
from training.fit.checkpoint import CHECKPOINT, averaged_weights
from training.models.bottleneck import DEFAULT_RATE, RATES, SYMBOL_LIMIT
from training.models.split_model import SplitModel
from training.recipe import read_recipe

WEIGHTS = Path("shared/weights")
CLOUD_TAIL = "cloud"
# The square by `python -m training.data.measure_crop`.
CROP = Cropping(scale=1.18, shift_x=0.0, shift_y=-0.075, detail_px=56, reduce="lanczos")
FIT_FACES = 12_000


def golden_crops() -> NDArray[np.uint8]:
    """Inputs that reach the whole range: smooth waves and noise, uint8 ``(2, 224, 224)``."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:CROP_SIDE, 0:CROP_SIDE] / CROP_SIDE
    waves = 127.5 + 60 * np.sin(9 * x + 4 * np.sin(5 * y)) + 60 * np.cos(7 * y - 3 * x)
    noise = enlarge_crop(rng.integers(0, 256, (48, 48), dtype=np.uint8))
    return np.stack((waves.clip(0, 255).astype(np.uint8), noise))


def quantiser_of(model: SplitModel) -> Quantiser:
    """The quantiser of a model's rates."""
    gains = model.gains.gains().detach().numpy().astype(np.float32)
    return Quantiser(gains, SYMBOL_LIMIT)


def turn(model: SplitModel, turned: str) -> None:
    """Multiply the gains of one rate, as ``default=0.9`` says.

    Raises:
        ValueError: no such rate, or no positive factor.
    """
    name, _, factor = turned.partition("=")
    if name not in RATES:
        raise ValueError(f"--gain {turned}: the rates are {', '.join(RATES)}")
    try:
        step = math.log(float(factor))
    except ValueError:
        step = math.nan
    if not math.isfinite(step):
        raise ValueError(f"--gain {turned}: the factor is a positive number")
    with torch.no_grad():
        model.gains.log[RATES.index(name)] += step


def write_weights(
    model: SplitModel,
    networks: Mapping[str, bytes],
    root: Path,
    origin: dict[str, Any],
    tables: EntropyTables | None = None,
) -> Path:
    """Write ``model`` under ``root``, with its ``networks`` as ``export_model`` gives them; gives
    the folder, named by the fingerprint.

    Nothing is measured: temperatures are 1 and bytes those of a raw payload.
    """
    files = {"head.onnx": networks["head"]}
    if tables is not None:
        files["entropy.bin"] = tables.to_bytes()
    crops, label_sets = golden_crops(), model.config.label_sets
    outputs = torch_outputs(model, crops)
    tails = {
        name: unmeasured(name, path, label_sets)
        for name, path in ((LOCAL_TAIL, AnswerPath.LOCAL), (CLOUD_TAIL, AnswerPath.CLOUD))
    }
    arrays: Arrays = {"crops": crops, "z": outputs["z"], "latents": outputs["latent"]}
    arrays |= {
        golden_names(name, entry)[label_set]: rows
        for name, entry in tails.items()
        for label_set, rows in by_label_set(outputs[name], label_sets).items()
    }

    def entry(name: str) -> FileEntry:
        return FileEntry(file=name, sha256=hashlib.sha256(files[name]).hexdigest())

    tensors = {name: tensor.numpy() for name, tensor in model.head.state_dict().items()}
    quantiser = quantiser_of(model)
    entropy = None if tables is None else entry("entropy.bin")
    manifest = Manifest(
        fingerprint=fingerprint(
            tensors, LABELS, CROP, quantiser, None if entropy is None else entropy.sha256
        ),
        labels=LABELS,
        crop=CROP,
        symbol_limit=quantiser.limit,
        entropy=entropy,
        rates=tuple(
            RateEntry(name=name, gains=tuple(map(float, gains)), bytes_mean=MAX_PAYLOAD_BYTES)
            for name, gains in zip(RATES, quantiser.gains, strict=True)
        ),
        default_rate=RATES[DEFAULT_RATE],
        head=entry("head.onnx"),
        golden=FileEntry(file="golden.npz", sha256=NOT_WRITTEN),
        tails=tails,
        default_tail=CLOUD_TAIL,
        origin=origin,
    )
    manifest = manifest.model_copy(update={"meaning": meaning_of(manifest)})
    folder = root / manifest.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_whole(folder / name, data)
    write_tails(folder, manifest, {name: networks[name] for name in tails}, arrays)
    return folder


def latents_by_rate(
    exported_head: bytes, quantiser: Quantiser, faces: Faces
) -> list[NDArray[np.uint8]]:
    """Symbols uint8 ``(N, 8, 28, 28)`` at each rate, by the exported head."""
    head = Head(exported_head, 2)
    rows: list[list[NDArray[np.uint8]]] = [[] for _ in RATES]
    for start in tqdm(range(0, len(faces), 32), desc="latents", unit="batch", disable=None):
        crops = np.stack([enlarge_crop(p) for p in faces.pictures[start : start + 32]])
        z = head.run(crops)[1]
        for rate, found in enumerate(rows):
            found.append(quantiser.symbols(z, rate))
    return [np.concatenate(found) for found in rows]


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--run", default="base", help="name of the run")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--gain",
        action="append",
        default=[],
        metavar="RATE=FACTOR",
        help="turn a rate's knob: its gains times so much; less than 1 sends fewer bytes",
    )
    parser.add_argument("--default", action="store_true", help="make them the default weights")
    arguments = parser.parse_args()
    try:
        folder = _export(arguments)
    except DataError as error:
        print(f"export: {error}", file=sys.stderr)
        return 3
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if arguments.default:
        write_whole(arguments.weights / "DEFAULT", f"{folder.name}\n".encode())
    print(json.dumps({"folder": str(folder)}))
    return 0


def _export(arguments: argparse.Namespace) -> Path:
    data = data_path(arguments.data)
    votes = votes_or_none(arguments.votes)
    recipe = read_recipe(Path("training/runs") / arguments.run / "recipe.toml")
    model = SplitModel(recipe.model)
    checkpoint = Path(".checkpoints") / arguments.run / CHECKPOINT
    model.load_state_dict(averaged_weights(checkpoint))
    for turned in arguments.gain:
        turn(model, turned)
    train, _ = split_off(load_fer2013(data, "Training"), HOLDOUT_SHARE)
    fit = train.subset(np.arange(len(train)) % max(1, len(train) // FIT_FACES) == 0)
    networks = export_model(model)
    latents = latents_by_rate(networks["head"], quantiser_of(model), fit)
    tables = fit_tables(latents, SYMBOL_LIMIT)
    origin = {"data": "FER2013 Training", "run": f"training/runs/{arguments.run}"}
    if arguments.gain:
        origin["gain"] = " ".join(arguments.gain)
    with tempfile.TemporaryDirectory() as place:
        made = write_weights(model, networks, Path(place), origin, tables)
        measure_folder(made, data, votes)
        folder = Path(arguments.weights, made.name)
        folder.mkdir(parents=True, exist_ok=True)
        put_files(made, folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
