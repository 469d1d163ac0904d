"""Files of pages: read once, packed where it pays, and asked for anew only where they changed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zlib
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from splitfer.shared.errors import SplitFerError

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
# A file goes out so much at a time: of a caller that does not read, no more is kept.
_PIECE_BYTES = 64 * 2**10


class Pieces(Response):
    """The bytes of ``content``, each piece once the caller has taken those before. ``packed``: they
    are gzip, and what goes out is what they unpack to."""

    def __init__(
        self,
        content: bytes,
        status_code: int = 200,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        packed: bool = False,
    ) -> None:
        # Gzip ends with the size of what was packed.
        size = int.from_bytes(content[-4:], "little") if packed else len(content)
        told = {**(headers or {}), "Content-Length": str(size)}
        super().__init__(None, status_code, told, media_type)
        self._pieces = _unpacked(content) if packed else _cut(content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them, for as long as the caller is there."""
        gone = asyncio.create_task(_gone(receive))
        status, headers = self.status_code, self.raw_headers
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            for piece in self._pieces:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)
            await send({"type": "http.response.body"})
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    with contextlib.suppress(SplitFerError):  # of a body that nobody asked for
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await asyncio.Event().wait()


def _cut(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


def _unpacked(content: bytes) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for part in _cut(content):
        left = part
        while plain := unpacking.decompress(left, _PIECE_BYTES):
            yield plain
            left = unpacking.unconsumed_tail


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
        if packed and "gzip" in request.headers.get("accept-encoding", ""):
            both = {**always, "Content-Encoding": "gzip"}
            return Pieces(content, status, kind, both)
        return Pieces(content, status, kind, always, packed)

    return Route(path, reply, methods=["GET"], include_in_schema=False)
