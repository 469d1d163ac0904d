"""The edge in a browser: the page at ``/edge``, and what it loads.

What is written by hand lies in ``edge/`` and is served as it is; what ``make web`` builds lies in
``edge/built/``, packed. An installation without the latter says so at ``/edge``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.routing import BaseRoute

from splitfer.cloud_server.admission.turns import Turns
from splitfer.cloud_server.rest_api.edge_weights import weights_routes
from splitfer.cloud_server.rest_api.files import (
    FROM_HERE,
    TYPES,
    file_route,
    tag_of,
)
from splitfer.cloud_server.weights.registry import Registry

PAGE = "/edge"
# WebAssembly needs a word of its own; scripts have addresses from a policy of the page's alone.
_POLICY = "; ".join(
    (
        *(
            one.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
            for one in FROM_HERE
        ),
        "img-src 'self' blob:",
        "worker-src 'self'",
        "manifest-src 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types edge",
    )
)
_WORKER_POLICY = _POLICY.replace("; require-trusted-types-for 'script'; trusted-types edge", "")
_BUILT = ("codec.wasm", "frontal.wasm", "ort.mjs", "ort.wasm", "licences.txt")
_OURS = (
    "edge.css", "edge.js", "edge.webmanifest", "icon-192.png", "icon-512.png", "worker.js",
    "announcer.js", "answers.js", "breaker.js", "device.js", "frontal.js", "link.js",
    "local_model.js", "offline.js", "offload.js", "own_choice.js", "payload.js", "policy.js",
    "quality.js", "reasons.js", "resize.js", "stream.js", "vision.js", "wasm.js", "ways.js",
    "weights.js", "frontal.bin",
)  # fmt: skip
_OF_THE_PAGE = ("page.css", "api.js", "camera.js", "memory.js", "view.js", "icon.svg")
_ABSENT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>SplitFER: no edge here</title><link rel="stylesheet" href="page/page.css">
<main><h1>The edge for browsers is not installed here</h1>
<p>This server was installed without it. The container image has it; in a checkout
<code>make web</code> builds it, and the server has it from its next start on.</p>
<p><a href="./">Pictures are answered at the front page.</a></p></main></html>
"""


def edge_routes(registry: Registry, turns: Turns) -> list[BaseRoute]:
    """The page and what it loads; each file is read once, now."""
    ours = files("splitfer.cloud_server.rest_api") / "edge"
    built = ours / "built"
    if any(not (built / f"{name}.gz").is_file() for name in _BUILT):
        return [file_route(PAGE, _ABSENT.encode(), TYPES[".html"], _POLICY, turns, status=404)]
    contents = {name: (ours / name).read_bytes() for name in _OURS}
    packed = {name: (built / f"{name}.gz").read_bytes() for name in _BUILT}
    page = (ours / "edge.html").read_bytes()
    routes: list[BaseRoute] = [file_route(PAGE, page, TYPES[".html"], _POLICY, turns)]
    for name, content in {**contents, **packed}.items():
        policy = _WORKER_POLICY if name == "worker.js" else _POLICY
        path = f"{PAGE}/{name}"
        routes.append(file_route(path, content, _type(name), policy, turns, packed=name in packed))
    page_folder = files("splitfer.cloud_server.rest_api") / "page"
    shared = [(page_folder / name).read_bytes() for name in _OF_THE_PAGE]
    sw = _service_worker(ours, [page, *contents.values(), *packed.values(), *shared])
    routes.append(
        file_route(
            f"{PAGE}/sw.js",
            sw,
            _type("sw.js"),
            _WORKER_POLICY,
            turns,
            headers={"Service-Worker-Allowed": "../edge"},
        )
    )
    return [*routes, *weights_routes(registry, f"{PAGE}/weights", turns)]


def _type(name: str) -> str:
    return TYPES[name[name.rindex(".") :]]


def _service_worker(ours: Traversable, contents: Iterable[bytes]) -> bytes:
    """The service worker's code, which differs as soon as any file does."""
    script = (ours / "sw.js").read_bytes()
    version = tag_of(b"".join((script, *contents)))
    names = ["../edge", *_OURS, *_BUILT, *(f"../page/{name}" for name in _OF_THE_PAGE)]
    head = f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(names)};\n"
    return head.encode() + script
