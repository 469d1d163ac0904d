"""The weights that the edge in a browser runs: the files of a device, and a smaller one beside.

Of the local tail's file a browser may take one with rounded parameters (``weights.half``), about
half as large. What it has to give there stands beside it: the golden logits of ONNX Runtime.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from splitfer.cloud_server.admission.turns import Turns
from splitfer.cloud_server.protocol.error_map import codes_of, http_headers, json_body
from splitfer.cloud_server.rest_api.files import HEADERS, TYPES, Pieces
from splitfer.cloud_server.telemetry.request import set_error
from splitfer.cloud_server.weights.half import halved, widened
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.errors import ModelMismatch, SplitFerError, UnknownModel
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL, Manifest
from splitfer.shared.weights.runtime import Tail, read_model

# Packed with gzip, which is no Content-Encoding: the hash is that of what is sent, and stands in
# the name, since no file changes under its name.
_SUFFIX = ".half"
# Of the largest golden logit: what rounding may move one by.
MOST_CHANGE = 1e-3
# Of one set of weights, all of them.
_KEPT_FILES = 8
_FOREVER = "private, max-age=31536000, immutable"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Half:
    """The smaller file, and what the manifest says of it to browsers."""

    packed: bytes
    entry: dict[str, Any]


class Halves:
    """The smaller files, made when they are first asked for. Any thread may ask."""

    def __init__(self) -> None:
        self._made: dict[str, Half | None] = {}
        self._lock = threading.Lock()

    def of(self, weights: Weights) -> Half | None:
        """None where rounding changes too much."""
        key = weights.manifest.tails[LOCAL_TAIL].sha256
        with self._lock:
            if key not in self._made:
                self._made[key] = _half(weights)
            return self._made[key]


def _half(weights: Weights) -> Half | None:
    entry, golden = weights.manifest.tails[LOCAL_TAIL], weights.golden
    features, _ = weights.head(1).run(golden.crops)
    try:
        plain = halved(read_model(weights.folder / entry.file))
    except ValueError as error:
        log.info("browsers get the whole local tail of %s: %s", weights.folder, error)
        return None
    logits = Tail(widened(plain), 1).all_logits(features)
    for label_set, found in logits.items():
        expected = golden.logits[LOCAL_TAIL][label_set]
        moved = float(np.abs(found - expected).max() / np.abs(expected).max())
        if not moved <= MOST_CHANGE:
            log.info(
                "browsers get the whole local tail of %s: a logit moves by %.2g",
                weights.folder,
                moved,
            )
            return None
    packed = gzip.compress(plain, 9, mtime=0)
    sha256 = hashlib.sha256(packed).hexdigest()
    return Half(
        packed,
        {
            "file": f"local-{sha256[:16]}{_SUFFIX}",
            "sha256": sha256,
            "logits": {one.value: found.ravel().tolist() for one, found in logits.items()},
        },
    )


def weights_routes(registry: Registry, weights: str, turns: Turns) -> list[BaseRoute]:
    """Below the path ``weights`` the default weights' manifest, and of every served fingerprint
    what a device runs. Where the server has tokens, any of them."""
    halves = Halves()

    async def manifest(request: Request) -> Response:
        return await _answered(registry, halves, turns, request, "", "manifest.json")

    async def file(request: Request) -> Response:
        words = request.path_params
        return await _answered(
            registry, halves, turns, request, words["fingerprint"], words["name"]
        )

    return [
        Route(f"{weights}/manifest.json", manifest, include_in_schema=False),
        Route(f"{weights}/{{fingerprint}}/{{name}}", file, include_in_schema=False),
    ]


async def _answered(
    registry: Registry,
    halves: Halves,
    turns: Turns,
    request: Request,
    fingerprint: str,
    name: str,
) -> Response:
    wanted = None if name == "manifest.json" else request.query_params.get("sha256")
    try:
        content, sha256 = await asyncio.to_thread(
            _file, registry, halves, fingerprint, name, wanted
        )
    except SplitFerError as error:
        set_error(error.code)
        body = json_body(error.code, str(error), error.retryable)
        return JSONResponse(body, codes_of(error).http, http_headers(error))
    tag = f'"{sha256[:16]}"'
    # Other tails and golden numbers may come under the same fingerprint and names, not hashes.
    headers = {**HEADERS, "ETag": tag, "Cache-Control": _FOREVER if wanted else "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    kind = "application/json" if name.endswith(".json") else TYPES[".bin"]
    return Pieces(content, turns, media_type=kind, headers=headers)


def _file(
    registry: Registry, halves: Halves, fingerprint: str, name: str, wanted: str | None
) -> tuple[bytes, str]:
    """A file of the weights, and its SHA-256; ``fingerprint`` empty means the default, ``wanted``
    its hash where the caller names one.

    Raises:
        UnknownModel: they are not served, it is none that a device runs, or it has another hash.
    """
    try:
        served = registry.weights(fingerprint) if fingerprint else registry.default
    except ModelMismatch as error:
        raise UnknownModel(str(error)) from None
    manifest = served.weights.manifest
    if name == "manifest.json":  # of today's schema, whatever the file's is
        described = manifest.model_dump(mode="json")
        described["bytes"] = file_sizes(served.weights)
        if (half := halves.of(served.weights)) is not None:
            described["half"] = half.entry
        content = json.dumps(described).encode()
        return content, hashlib.sha256(content).hexdigest()
    half = halves.of(served.weights) if name.endswith(_SUFFIX) else None
    if half is not None and half.entry["file"] == name:
        sha256: str | None = half.entry["sha256"]
    else:
        half, sha256 = None, _hashes(manifest).get(name)
    if sha256 is None or wanted not in (None, sha256):
        raise UnknownModel("the weights have no such file for a device")
    if half is not None:
        return half.packed, sha256
    return _read(served.weights.folder / name, sha256), sha256


def file_sizes(weights: Weights) -> dict[str, int]:
    """Bytes of each file of a device that is there: they tell a browser which networks are
    lighter."""
    sizes = {}
    for one in weights.manifest.device_files:
        with suppress(OSError):
            sizes[one.file] = (weights.folder / one.file).stat().st_size
    return sizes


@lru_cache(maxsize=_KEPT_FILES)
def _read(path: Path, sha256: str) -> bytes:
    """However many callers are being sent it, it is here once."""
    return read_model(path)


def _hashes(manifest: Manifest) -> dict[str, str]:
    return {one.file: one.sha256 for one in manifest.device_files}
