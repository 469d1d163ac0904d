"""What a folder of weights says about itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import SCHEMA_VERSION, Path
from shared.preprocess import DETAIL_SIDE, CropGeometry

LOCAL_TAIL = "local"
_SHA256 = r"^[0-9a-f]{64}$"
_FILE = r"^[a-z0-9_.-]+$"


class FileEntry(BaseModel):
    """A file beside the manifest; its name has no folder in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=_FILE)
    sha256: str = Field(pattern=_SHA256)


class TailEntry(FileEntry):
    """One tail: the path it answers, its calibration, and what it was measured to do."""

    path: Path
    temperature: float = Field(gt=0)
    # Share of right answers by data part, such as {"PublicTest": 0.65}.
    accuracy: dict[str, float]


class Manifest(BaseModel):
    """``manifest.json``. ``tails`` holds ``local`` and one or more cloud tails by id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    fingerprint: str = Field(pattern=r"^[0-9a-f]{16}$")
    labels: tuple[str, ...]
    crop: CropGeometry
    head: FileEntry
    tails: dict[str, TailEntry]
    default_tail: str
    golden: FileEntry
    # Where the weights come from: data, recipe, run.
    origin: dict[str, Any]


def fingerprint(
    tensors: Mapping[str, NDArray[np.generic]], labels: tuple[str, ...], crop: CropGeometry
) -> str:
    """The 16 hex digits that both sides must agree on.

    Covers the float head's ``tensors`` (by name, type, shape and value), which hold the
    quantiser's scale, and the rest of what decides a latent's meaning: quantiser, entropy tables
    (none yet), labels, and the way a crop is made. Never file bytes, never tails.
    """
    digest = hashlib.sha256()
    rest = {
        "labels": labels,
        "crop": [crop.scale, crop.shift_x, crop.shift_y, DETAIL_SIDE],
        "quantiser": "round half to even, step 1, zero 128, 0..255",
        "entropy_tables": None,
    }
    digest.update(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
