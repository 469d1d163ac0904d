"""The device's part of the default weights, for devices that ask."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from splitfer.cloud_server.weights.registry import Registry
from splitfer.cloud_server.weights.served import quoted
from splitfer.shared.errors import ModelMismatch, UnknownModel, WeightsError
from splitfer.shared.regular_file import MIB, read_regular
from splitfer.shared.weights.manifest import Manifest
from splitfer.shared.weights.release import Release, read_release
from splitfer.shared.wire import WEIGHTS_PIECE_BYTES


@dataclass(frozen=True)
class Offer:
    """A manifest's bytes, and who published them."""

    manifest: bytes
    release: Release


class HandedOutWeights:
    """Reads pieces of the default weights from their folder, off the event loop. Weights without a
    release are not handed out: no device would take them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def offer(self, had_sha256: bytes) -> Offer | None:
        """What is handed out now; None where it is nothing, or the device has it.

        Raises:
            WeightsError: the folder cannot be read.
        """
        offer = await asyncio.to_thread(_offer, self._folder)
        if offer is None or hashlib.sha256(offer.manifest).digest() == had_sha256:
            return None
        return offer

    async def piece(self, manifest_sha256: bytes, file: str, offset: int) -> tuple[bytes, int]:
        """At most ``WEIGHTS_PIECE_BYTES`` of ``file`` from ``offset`` on, and its size.

        Raises:
            ModelMismatch: other weights are handed out by now.
            UnknownModel: they have no such file for devices.
            WeightsError: the folder cannot be read.
        """
        return await asyncio.to_thread(_piece, self._folder, manifest_sha256, file, offset)

    @property
    def _folder(self) -> Path:
        return self._registry.default.weights.folder


def _offer(folder: Path) -> Offer | None:
    release = read_release(folder)
    return None if release is None else Offer(_manifest(folder), release)


def _piece(folder: Path, manifest_sha256: bytes, file: str, offset: int) -> tuple[bytes, int]:
    manifest = _manifest(folder)
    if read_release(folder) is None or hashlib.sha256(manifest).digest() != manifest_sha256:
        raise ModelMismatch("other weights are handed out by now: ask what is offered")
    # Of the files that it names, and so no path that a caller could think of.
    if file not in {one.file for one in Manifest.model_validate_json(manifest).device_files}:
        raise UnknownModel(f"these weights have no file {quoted(file)} for devices")
    try:
        with (folder / file).open("rb") as read:
            size = os.fstat(read.fileno()).st_size
            return os.pread(read.fileno(), WEIGHTS_PIECE_BYTES, min(offset, size)), size
    except OSError as error:
        raise WeightsError(f"{folder / file}: {error.strerror}") from error


def _manifest(folder: Path) -> bytes:
    try:
        return read_regular(folder / "manifest.json", MIB)
    except OSError as error:
        raise WeightsError(f"{folder}: no manifest: {error.strerror}") from error
