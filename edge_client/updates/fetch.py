"""Fetches the device's part of the server's default weights, piece by piece, into a folder.

    offer -> signature, number -> manifest -> files, each by its hash -> a folder of weights

What was fetched before a transfer broke off is not fetched again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from splitfer.shared.errors import WeightsError
from splitfer.shared.regular_file import MIB
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights.manifest import FileEntry, Manifest
from splitfer.shared.weights.release import Release, check_signature
from splitfer.shared.whole_file import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST_BYTES = 64 * MIB
"""Of one file; the largest of a device has 5 MiB in the shipped weights."""

_LONGEST_MANIFEST_BYTES = MIB
# Of a file's pieces, but for its last one: a server that gives less keeps the device busy for ever.
_LEAST_PIECE_BYTES = 4096
# What is left on the disk for everything else.
_ROOM_BYTES = 50 * MIB

_log = logging.getLogger(__name__)


class Ask(Protocol):
    """``GetWeights`` on a server."""

    def __call__(self, request: pb.GetWeightsRequest) -> pb.WeightsPart:
        """One call.

        Raises:
            LinkError: it brought nothing.
        """
        ...

    def close(self) -> None:
        """Break off what is under way; no call brings anything any more."""
        ...


@dataclass(frozen=True)
class Offered:
    """Weights that the publisher signed: ``manifest`` is what ``data`` says."""

    manifest: Manifest
    data: bytes
    release: int

    @property
    def sha256(self) -> str:
        """The SHA-256 of the manifest, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def offered(ask: Ask, had: Path, key: Ed25519PublicKey) -> Offered | None:
    """What the server offers in place of the weights in ``had``; None where it is nothing.

    Raises:
        WeightsError: the publisher did not sign it, or it is no manifest.
        LinkError: the server cannot be asked.
    """
    try:
        had_sha256 = hashlib.sha256((had / "manifest.json").read_bytes()).digest()
    except OSError:
        had_sha256 = b""
    reply = ask(pb.GetWeightsRequest(manifest_sha256=had_sha256))
    if not reply.data:
        return None
    if len(reply.data) > _LONGEST_MANIFEST_BYTES:
        raise WeightsError("the server's manifest is larger than any")
    # Before a word of it is read.
    check_signature(reply.data, Release(reply.release, reply.signature), key)
    try:
        manifest = Manifest.model_validate_json(reply.data)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise WeightsError(
            f"release {reply.release} is not for this version of the program: {why}"
        ) from error
    return Offered(manifest, reply.data, reply.release)


def fetch(
    ask: Ask, offer: Offered, part: Path, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Let the folder ``part`` hold the offered weights, every file by its hash.

    Raises:
        WeightsError: a file is not what the manifest says, or there is no room for it.
        LinkError: the server cannot be asked; what came stays for the next time.
        Stopped: ``stopped`` says that nobody wants them now; the same.
        OSError: the disk takes nothing.
    """
    part.mkdir(parents=True, exist_ok=True)
    for entry in offer.manifest.device_files:
        if not _is_there(part / entry.file, entry):
            _fetch_file(ask, offer, entry, part, stopped)
    write_whole(part / "manifest.json", offer.data)
    _sync_folder(part)


class Stopped(Exception):
    """The run ends while weights are being fetched."""


def _fetch_file(
    ask: Ask, offer: Offered, entry: FileEntry, part: Path, stopped: Callable[[], bool]
) -> None:
    draft = part / f"{entry.file}.draft"
    manifest_sha256 = bytes.fromhex(offer.sha256)
    with draft.open("ab") as out:
        while True:
            if stopped():
                raise Stopped
            at = out.tell()
            reply = ask(
                pb.GetWeightsRequest(manifest_sha256=manifest_sha256, file=entry.file, offset=at)
            )
            size = reply.size_bytes
            left, came = size - at, len(reply.data)
            if size > MOST_BYTES or came > left or 0 < came < min(left, _LEAST_PIECE_BYTES):
                draft.unlink()
                raise WeightsError(
                    f"{entry.file}: the server says {size} bytes, and gave {came} from {at} on"
                )
            if left + _ROOM_BYTES > shutil.disk_usage(part).free:
                raise WeightsError(f"{entry.file}: no room on the disk for {size} bytes")
            if not reply.data:
                break
            out.write(reply.data)
            out.flush()
        os.fsync(out.fileno())
    if hashlib.sha256(draft.read_bytes()).hexdigest() != entry.sha256:
        draft.unlink()
        raise WeightsError(f"{entry.file} is not what the manifest says (sha256 differs)")
    draft.rename(part / entry.file)
    _log.info("weights: fetched %s", entry.file)


def _is_there(path: Path, entry: FileEntry) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
