"""A small made-up FER2013."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from splitfer.shared.labels import LABELS
from training.data.datasets import KAGGLE_ORDER, Faces


def made_faces(n: int, seed: int = 0, first_id: int = 0) -> Faces:
    """Noise with a bright bar whose row tells the class, ids ascending."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 120, (n, 48, 48), dtype=np.uint8)
    labels = rng.integers(0, len(LABELS), n)
    for picture, label in zip(pictures, labels, strict=True):
        picture[label * 6 : label * 6 + 6] += 120
    return Faces(pictures, labels, np.arange(first_id, first_id + n))


def write_csv(path: Path, parts: dict[str, Faces]) -> None:
    """Kaggle's form: the row's number is the id."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("emotion", "pixels", "Usage"))
        for usage, faces in parts.items():
            for picture, label in zip(faces.pictures, faces.labels, strict=True):
                pixels = " ".join(map(str, picture.ravel()))
                out.writerow((KAGGLE_ORDER.index(LABELS[label]), pixels, usage))


def members(parts: dict[str, Faces], kind: str = "webp") -> dict[str, bytes]:
    """File names and bytes of the folder form, in no useful order."""
    made = {}
    for usage, faces in parts.items():
        folder = "train" if usage == "Training" else "test"
        for picture, label, number in zip(faces.pictures, faces.labels, faces.ids, strict=True):
            out = io.BytesIO()
            options = {"lossless": True} if kind == "webp" else {}
            Image.fromarray(picture).save(out, "JPEG" if kind == "jpg" else kind, **options)
            made[f"{folder}/{LABELS[label]}/{usage}_{number}.{kind}"] = out.getvalue()
    return dict(sorted(made.items(), key=lambda item: item[0][::-1]))


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def write_folder(path: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
