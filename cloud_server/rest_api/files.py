"""Files of pages: read once, packed where it pays, and asked for anew only where they changed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from splitfer.cloud_server.admission.turns import Turns
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
# In a request's state: what is told whether its reply waits for its turn, and so may make room.
IN_LINE = "in_line"
# A file goes out so much at a time: of a caller that does not read, no more is kept.
_PIECE_BYTES = 64 * 2**10


class Pieces(Response):
    """The bytes of ``content``: each piece once the caller has taken those before, and when it is
    its turn."""

    def __init__(
        self,
        content: bytes,
        turns: Turns,
        status_code: int = 200,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        told = {**(headers or {}), "Content-Length": str(len(content))}
        super().__init__(None, status_code, told, media_type)
        self._content, self._turns = content, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them, for as long as the caller is there."""
        gone = asyncio.create_task(_gone(receive))
        status, headers = self.status_code, self.raw_headers
        address = (scope.get("client") or ("",))[0]
        in_line = scope.get("state", {}).get(IN_LINE, bool)
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            for start in range(0, len(self._content), _PIECE_BYTES):
                in_line(True)
                await self._turns.turn(address)
                in_line(False)
                if gone.done():
                    return
                piece = self._content[start : start + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            gone.cancel()


class _Unpacked:
    """What gzip packed: unpacked when first asked for, once for all who ask."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._content: bytes | None = None
        self._lock = asyncio.Lock()

    async def content(self) -> bytes:
        async with self._lock:
            if self._content is None:
                self._content = await asyncio.to_thread(gzip.decompress, self._packed)
            return self._content


async def _gone(receive: Receive) -> None:
    with contextlib.suppress(SplitFerError):  # of a body that nobody asked for
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await asyncio.Event().wait()


def tag_of(content: bytes) -> str:
    """The ETag of these bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def file_route(
    path: str,
    content: bytes,
    kind: str,
    policy: str,
    turns: Turns,
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
    unpacked = _Unpacked(content)

    async def reply(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=always)
        if not packed:
            return Pieces(content, turns, status, kind, always)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Pieces(content, turns, status, kind, {**always, "Content-Encoding": "gzip"})
        return Pieces(await unpacked.content(), turns, status, kind, always)

    return Route(path, reply, methods=["GET"], include_in_schema=False)
