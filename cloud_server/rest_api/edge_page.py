"""The edge in a browser: the page at ``/edge``, what it loads, and the weights it runs.

What is written by hand lies in ``edge/`` and is served as it is; what ``make web`` builds lies in
``edge/built/``, packed. An installation without the latter says so at ``/edge``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from splitfer.cloud_server.error_map import codes_of, http_headers, json_body
from splitfer.cloud_server.request import failed
from splitfer.cloud_server.rest_api.files import (
    FROM_HERE,
    HEADERS,
    TYPES,
    file_route,
    tag_of,
)
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.errors import ModelMismatch, SplitFerError, UnknownModel
from splitfer.shared.weights.manifest import LOCAL_TAIL, Manifest
from splitfer.shared.weights.runtime import read_model

PAGE = "/edge"
# WebAssembly needs a word of its own; scripts have addresses from a policy of the page's alone.
_POLICY = "; ".join((
    *(
        one.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
        for one in FROM_HERE
    ),
    "img-src 'self' blob:",
    "worker-src 'self'",
    "manifest-src 'self'",
    "require-trusted-types-for 'script'",
    "trusted-types edge",
))  # fmt: skip
_WORKER_POLICY = _POLICY.replace("; require-trusted-types-for 'script'; trusted-types edge", "")
_BUILT = ("codec.wasm", "frontal.wasm", "ort.mjs", "ort.wasm", "licences.txt")
_OURS = (
    "edge.css", "edge.js", "edge.webmanifest", "icon-192.png", "icon-512.png", "worker.js",
    "breaker.js", "device.js", "frontal.js", "link.js", "offload.js", "payload.js", "policy.js",
    "quality.js", "reasons.js", "resize.js", "stream.js", "vision.js", "wasm.js", "ways.js",
    "weights.js", "frontal.bin",
)  # fmt: skip
_OF_THE_PAGE = ("page.css", "api.js", "camera.js", "view.js", "icon.svg")
_FOREVER = "private, max-age=31536000, immutable"
_ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>SplitFER: no edge here</title><link rel="stylesheet" href="page/page.css">
<main><h1>The edge for browsers is not installed here</h1>
<p>This server was installed without it. The container image has it; in a checkout
<code>make web</code> builds it, and the server has it from its next start on.</p>
<p><a href="./">Pictures are answered at the front page.</a></p></main></html>
"""


def edge_routes(registry: Registry) -> list[BaseRoute]:
    """The page and what it loads; each file is read once, now."""
    ours = files("splitfer.cloud_server.rest_api") / "edge"
    built = ours / "built"
    if any(not (built / f"{name}.gz").is_file() for name in _BUILT):
        return [file_route(PAGE, _ABSENT.encode(), TYPES[".html"], _POLICY, status=404)]
    contents = {name: (ours / name).read_bytes() for name in _OURS}
    packed = {name: (built / f"{name}.gz").read_bytes() for name in _BUILT}
    page = (ours / "edge.html").read_bytes()
    routes: list[BaseRoute] = [file_route(PAGE, page, TYPES[".html"], _POLICY)]
    for name, content in {**contents, **packed}.items():
        policy = _WORKER_POLICY if name == "worker.js" else _POLICY
        path = f"{PAGE}/{name}"
        routes.append(file_route(path, content, _type(name), policy, packed=name in packed))
    page_folder = files("splitfer.cloud_server.rest_api") / "page"
    shared = [(page_folder / name).read_bytes() for name in _OF_THE_PAGE]
    sw = _service_worker(ours, [page, *contents.values(), *packed.values(), *shared])
    routes.append(
        file_route(
            f"{PAGE}/sw.js", sw, _type("sw.js"), _WORKER_POLICY,
            headers={"Service-Worker-Allowed": "../edge"},
        )
    )  # fmt: skip
    return [*routes, *_weights_routes(registry)]


def _type(name: str) -> str:
    return TYPES[name[name.rindex(".") :]]


def _service_worker(ours: Traversable, contents: Iterable[bytes]) -> bytes:
    """It is another one as soon as any file is."""
    script = (ours / "sw.js").read_bytes()
    version = tag_of(b"".join((script, *contents)))
    names = ["../edge", *_OURS, *_BUILT, *(f"../page/{name}" for name in _OF_THE_PAGE)]
    head = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(names)};\n"
    return head.encode() + script


def _weights_routes(registry: Registry) -> list[BaseRoute]:
    """The default weights' manifest, and of every served fingerprint what a device runs. Where the
    server has tokens, any of them."""

    async def manifest(request: Request) -> Response:
        return await _answered(registry, request, "", "manifest.json")

    async def file(request: Request) -> Response:
        words = request.path_params
        return await _answered(registry, request, words["fingerprint"], words["name"])

    weights = f"{PAGE}/weights"
    return [
        Route(f"{weights}/manifest.json", manifest, include_in_schema=False),
        Route(f"{weights}/{{fingerprint}}/{{name}}", file, include_in_schema=False),
    ]


async def _answered(registry: Registry, request: Request, fingerprint: str, name: str) -> Response:
    try:
        content = await asyncio.to_thread(_file, registry, fingerprint, name)
    except SplitFerError as error:
        failed(error.code)
        body = json_body(error.code, str(error), error.retryable)
        return JSONResponse(body, codes_of(error).http, http_headers(error))
    tag = f'"{tag_of(content)}"'
    # The files of a fingerprint never change; which one is the default may.
    headers = {**HEADERS, "ETag": tag, "Cache-Control": _FOREVER if fingerprint else "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    kind = "application/json" if name.endswith(".json") else TYPES[".bin"]
    return Response(content, media_type=kind, headers=headers)


def _file(registry: Registry, fingerprint: str, name: str) -> bytes:
    """A file of the weights; ``fingerprint`` empty means the default.

    Raises:
        UnknownModel: they are not served, or it is none that a device runs.
    """
    try:
        served = registry.weights(fingerprint) if fingerprint else registry.default
    except ModelMismatch as error:
        raise UnknownModel(str(error)) from None
    manifest = served.weights.manifest
    if name == "manifest.json":  # of today's schema, whatever the file's is
        return manifest.model_dump_json().encode()
    if name not in _names(manifest):
        raise UnknownModel("the weights have no such file for a device")
    return read_model(served.weights.folder / name)


def _names(manifest: Manifest) -> set[str]:
    entries = [manifest.head, manifest.tails[LOCAL_TAIL], manifest.golden]
    return {one.file for one in (*entries, manifest.entropy) if one is not None}
