"""Files of pages: read once, packed where it pays, and asked for anew only where they changed."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TEXT = "; charset=utf-8"
TYPES = {
    ".html": f"text/html{TEXT}",
    ".css": f"text/css{TEXT}",
    ".js": f"text/javascript{TEXT}",
    ".mjs": f"text/javascript{TEXT}",
    ".txt": f"text/plain{TEXT}",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".bin": "application/octet-stream",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
# What a browser may load, all of it from here.
FROM_HERE = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
HEADERS: Mapping[str, str] = {
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept, and asked for each time whether it is still the one: no page of an older server.
    "Cache-Control": "no-cache",
}


def tag_of(content: bytes) -> str:
    """The ETag of these bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def file_route(
    path: str,
    content: bytes,
    kind: str,
    policy: str,
    headers: Mapping[str, str] | None = None,
    packed: bool = False,
    status: int = 200,
) -> Route:
    """``GET path`` gives ``content``; ``packed``: it is gzip, unpacked for whom does not take
    that."""
    tag = f'"{tag_of(content)}"'
    always = {**HEADERS, "Content-Security-Policy": policy, "ETag": tag, **(headers or {})}
    if packed:
        always["Vary"] = "Accept-Encoding"

    async def reply(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=always)
        if not packed:
            return Response(content, status, media_type=kind, headers=always)
        if "gzip" in request.headers.get("accept-encoding", ""):
            both = {**always, "Content-Encoding": "gzip"}
            return Response(content, status, media_type=kind, headers=both)
        return Response(gzip.decompress(content), status, media_type=kind, headers=always)

    return Route(path, reply, methods=["GET"], include_in_schema=False)
