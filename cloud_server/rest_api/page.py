"""What is for people: the page at ``/``, on ``POST /v1/faces``, and Swagger UI at ``/docs``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# What a browser may load, all of it from here.
_FROM_HERE = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
# `blob:` is the picture that was dropped. `page.js` puts text into the page as text only, to which
# Trusted Types hold it.
_POLICY = "; ".join((*_FROM_HERE, "img-src 'self' blob:", "require-trusted-types-for 'script'"))
# Swagger UI's style sheet holds its pictures, and it makes elements from text.
_SWAGGER_POLICY = "; ".join((*_FROM_HERE, "img-src 'self' data:"))
_HEADERS: Mapping[str, str] = {
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept, and asked for each time whether it is still the one: no page of an older server.
    "Cache-Control": "no-cache",
}
# The example is NASA's portrait of Eileen Collins, in the public domain.
_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "docs.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "camera.js": "text/javascript; charset=utf-8",
    "view.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "example.jpg": "image/jpeg",
}
_SWAGGER = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
_PATHS = {"index.html": "/", "docs.html": "/docs"}


def page_routes() -> list[Route]:
    """The pages and what they load; each file is read once, now."""
    ours, swagger = (
        files("splitfer.cloud_server.rest_api") / "page",
        files("fastapi_swagger") / "resources",
    )
    found = [(ours / name, kind) for name, kind in _TYPES.items()]
    found += [(swagger / name, kind) for name, kind in _SWAGGER.items()]
    return [
        _route(_PATHS.get(file.name, f"/page/{file.name}"), file.read_bytes(), kind)
        for file, kind in found
    ]


def _route(path: str, content: bytes, kind: str) -> Route:
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    policy = _SWAGGER_POLICY if path == "/docs" else _POLICY
    headers = {**_HEADERS, "Content-Security-Policy": policy, "ETag": tag}

    async def reply(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    return Route(path, reply, methods=["GET"], include_in_schema=False)
