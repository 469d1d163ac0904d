"""A folder of weights, opened: hashes checked on reading, numbers checked on a golden input."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from shared.contracts import LATENT_SHAPE
from shared.errors import WeightsError
from shared.labels import LABELS
from shared.runtime import Head, Tail, read_model
from shared.weights.manifest import LOCAL_TAIL, FileEntry, Manifest

# Across runtimes and processors: at most one quantiser step on at most this share of the symbols,
# and logits this close.
SYMBOL_SHARE = 1e-4
LOGIT_TOLERANCE = 1e-4
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Golden:
    """Inputs and the outputs that torch gave for them.

    ``crops`` uint8 ``(N, 224, 224)``, ``latents`` uint8 ``(N, 8, 28, 28)``, ``logits`` by tail
    float32 ``(N, 7)``: of the local tail from the features, of a cloud tail from ``latents``.
    """

    crops: NDArray[np.uint8]
    latents: NDArray[np.uint8]
    logits: dict[str, NDArray[np.float32]]


class Weights:
    """Verified weights of one fingerprint.

    Raises:
        WeightsError: the folder, a file or a hash is not as the manifest says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        except OSError as error:
            raise WeightsError(f"no weights in {folder}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise WeightsError(f"{folder}/manifest.json: {place}: {first['msg']}") from error
        if self.manifest.labels != LABELS:
            raise WeightsError(f"{folder} has labels {self.manifest.labels}, not {LABELS}")
        for tail in (LOCAL_TAIL, self.manifest.default_tail):
            if tail not in self.manifest.tails:
                raise WeightsError(f"{folder}/manifest.json names no tail {tail!r}")

    def head(self, threads: int) -> Head:
        """The head, checked against the golden latents.

        Raises:
            WeightsError: its file was altered, or it gives wrong numbers on this machine.
        """
        head = Head(self._read(self.manifest.head), threads)
        latents = head.run(self.golden.crops)[1].astype(np.int16)
        off = np.abs(latents - self.golden.latents.astype(np.int16))
        if off.max() > 1 or np.count_nonzero(off) > max(1, SYMBOL_SHARE * off.size):
            raise WeightsError(
                f"the head gives wrong latents on this machine: {np.count_nonzero(off)} of "
                f"{off.size} symbols differ from the golden ones, by up to {off.max()}"
            )
        return head

    def tail(self, name: str, threads: int) -> Tail:
        """One tail, checked against its golden logits. The local tail is checked with the head.

        Raises:
            WeightsError: it is not there, its file was altered, or it gives wrong numbers here.
        """
        if name not in self.manifest.tails:
            known = ", ".join(self.manifest.tails)
            raise WeightsError(f"no tail {name!r} in {self.folder}; there are {known}")
        entry = self.manifest.tails[name]
        tail = Tail(self._read(entry), threads, entry.temperature)
        golden = self.golden
        if name == LOCAL_TAIL:
            logits = tail.logits(Head(self._read(self.manifest.head), threads).run(golden.crops)[0])
        else:
            logits = tail.logits(golden.latents)
        off = np.abs(logits - golden.logits[name]).max()
        if not off <= LOGIT_TOLERANCE * max(1.0, float(np.abs(golden.logits[name]).max())):
            raise WeightsError(f"tail {name!r} gives wrong logits here, off by {off:.2g}")
        return tail

    @cached_property
    def golden(self) -> Golden:
        """The golden input and its outputs."""
        data = io.BytesIO(self._read(self.manifest.golden))
        try:
            with np.load(data, allow_pickle=False) as arrays:
                logits = {name: arrays[f"logits_{name}"] for name in self.manifest.tails}
                golden = Golden(arrays["crops"], arrays["latents"], logits)
        except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{self.folder}: the golden file cannot be read: {error}") from error
        n = len(golden.crops)
        if golden.latents.shape != (n, *LATENT_SHAPE) or any(
            rows.shape != (n, len(LABELS)) for rows in logits.values()
        ):
            raise WeightsError(f"{self.folder}: the golden arrays have the wrong shapes")
        return golden

    def _read(self, entry: FileEntry) -> bytes:
        path = self.folder / entry.file
        data = read_model(path)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise WeightsError(f"{path} is not the file that its manifest names (sha256 differs)")
        return data


def default_folder() -> Path:
    """The folder of the shipped weights that are used where none are named."""
    try:
        return _HERE / (_HERE / "DEFAULT").read_text().strip()
    except OSError as error:
        raise WeightsError(f"no default weights: {error}") from error
