"""The golden file of weights: inputs, and the outputs that torch gave for them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.regular_file import MIB
from splitfer.shared.weights.manifest import Manifest, TailEntry

_LARGEST_GOLDEN_BYTES = 64 * MIB


@dataclass(frozen=True)
class Golden:
    """Inputs and the outputs that torch gave for them.

    ``crops`` uint8 ``(N, 224, 224)``, ``latents`` uint8 ``(N, 8, 28, 28)`` at the default rate,
    ``logits`` by tail and label set float32 ``(N, 7)``: of the local tail from the features, of
    another one on a device from ``crops``, of a cloud tail from ``latents``. ``z`` float32
    ``(N, 8, 28, 28)`` is None where the head rounds by itself.
    """

    crops: NDArray[np.uint8]
    z: NDArray[np.float32] | None
    latents: NDArray[np.uint8]
    logits: dict[str, dict[LabelSet, NDArray[np.float32]]]


def golden_names(tail: str, entry: TailEntry) -> dict[LabelSet, str]:
    """What a tail's logits are called in the golden file, by label set: ``logits_<tail>`` where it
    has one, else ``logits_<tail>_<label set>``."""
    if len(entry.answers) == 1:
        return dict.fromkeys(entry.answers, f"logits_{tail}")
    return {one: f"logits_{tail}_{one.value}" for one in entry.label_sets}


def read_golden(data: bytes, manifest: Manifest) -> Golden:
    """What the bytes of a golden file hold, for the tails of ``manifest``.

    Raises:
        WeightsError: an array is missing or has another shape, or it is no such file.
    """
    file = io.BytesIO(data)
    try:
        with zipfile.ZipFile(file) as parts:
            if sum(part.file_size for part in parts.infolist()) > _LARGEST_GOLDEN_BYTES:
                raise ValueError(f"it unpacks to more than {_LARGEST_GOLDEN_BYTES} bytes")
        with np.load(file, allow_pickle=False) as arrays:
            logits = {
                name: {one: arrays[key] for one, key in golden_names(name, entry).items()}
                for name, entry in manifest.tails.items()
            }
            z = arrays["z"] if "z" in arrays.files else None
            golden = Golden(arrays["crops"], z, arrays["latents"], logits)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"the golden file cannot be read: {error}") from error
    n = len(golden.crops)
    shapes = {golden.latents.shape} if golden.z is None else {golden.latents.shape, golden.z.shape}
    if shapes != {(n, *LATENT_SHAPE)} or any(
        rows.shape != (n, len(LABELS)) for of in logits.values() for rows in of.values()
    ):
        raise WeightsError("the golden arrays have the wrong shapes")
    return golden
