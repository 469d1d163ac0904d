"""The body of a REST request: bounded, and a picture out of it."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.admission.slowed import SlowedCallers
from splitfer.cloud_server.service.limits import too_large
from splitfer.shared.errors import (
    DeadlineExceeded,
    ImageError,
    MalformedPayload,
    UnsupportedPicture,
)

FIELD = "picture"
# In a request's state: the reply, a good one, answers nothing that was asked.
ANSWERS_NOTHING = "answers_nothing"
MULTIPART = "multipart/form-data"
# Parts, and the whole that is made of them.
_COPIES = 2
# Of a multipart body, around the picture.
_ENVELOPE_BYTES = 64 * 2**10
# Where an operator asks for other weights, and of what they ask.
_ADMIN, _WISH_BYTES = "/v1/admin/", 16 * 2**10
# The last is what `curl --data-binary` says of any body; the decoder knows better.
_RAW_TYPES = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
_ENCODINGS = ("gzip", "deflate")
# Unpacked in one go: a fraction of a millisecond.
_SLICE_BYTES = 64 * 2**10
# Of a body that is refused: a length of so many digits may be large, and a packed
# one counts as so much.
_NO_GOOD, _LARGE_DIGITS, _PACKED_BYTES = (400, 413, 415, 422), 5, 2**19
_EITHER = zlib.MAX_WBITS | 32  # zlib tells the two apart itself
_HOW = (
    "send the picture as the body with Content-Type image/jpeg, image/png, image/webp or "
    f"application/octet-stream, or as {MULTIPART} in the field '{FIELD}'"
)


class BodyLimit:
    """ASGI middleware: a body over the limit is refused by its Content-Length before a byte is
    read, a chunked one as soon as it passes the limit, and one that is not all there after
    ``receive_s``. What is packed with gzip or deflate is unpacked, and held to the same limit. What
    has come is taken from ``budget`` until the request has ended. Callers whose packed or large
    bodies are refused, or have no answer to any face, are read from more slowly."""

    def __init__(self, app: ASGIApp, body_bytes: int, receive_s: float, budget: ByteBudget) -> None:
        self._app, self._budget = app, budget
        self._receive_s, self._slowed = receive_s, SlowedCallers()
        self._picture_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        multipart = headers.get("content-type", "").lower().startswith(MULTIPART)
        most = self._picture_bytes + (_ENVELOPE_BYTES if multipart else 0)
        named = self._picture_bytes
        if scope["path"].startswith(_ADMIN):
            most = named = _WISH_BYTES
        announced = headers.get("content-length", "")
        encoding = headers.get("content-encoding", "").strip().lower()
        encoding = "" if encoding == "identity" else encoding
        seen, whole = 0, False
        caller = current_account().key
        held = Held(self._budget, caller)
        packed: _Packed | None = None
        end_s = asyncio.get_running_loop().time() + self._receive_s

        async def counted() -> Message:
            nonlocal seen, whole, packed
            if packed is not None and packed.has_more:
                await asyncio.sleep(0)  # others have their turn
                return packed.part()
            if not seen and (encoding or len(announced) >= _LARGE_DIGITS):
                await self._slowed.wait(caller)
            # The announcement is judged here, where an endpoint asks for the body, so that the
            # refusal goes the way of every other error.
            if announced.isdecimal() and int(announced) > most:
                raise too_large(named)
            try:
                # After the body only a disconnect is received, whenever that is.
                async with asyncio.timeout_at(None if whole else end_s):
                    message = await receive()
            except TimeoutError:
                raise DeadlineExceeded(
                    f"the body did not arrive within {self._receive_s:g} s"
                ) from None
            whole = not message.get("more_body", False)
            body = message.get("body", b"")
            seen += len(body)
            if seen > most:
                raise too_large(named)
            if encoding and message["type"] == "http.request":
                packed = packed or _Packed(encoding, most, named, held)
                packed.take(body, whole)
                return packed.part()
            held.become(held.size + _COPIES * len(body))
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                nothing = scope.get("state", {}).get(ANSWERS_NOTHING, False)
                if nothing or message["status"] in _NO_GOOD:
                    size = held.size // _COPIES
                    self._slowed.refused(caller, max(size, _PACKED_BYTES if packed else 0))
            await send(message)

        with held:
            await self._app(scope, counted, told)


class _Packed:
    """A body whose Content-Encoding is ``encoding``, as it comes: at most ``most`` bytes of it are
    unpacked, and counted in ``held``; ``named`` is the limit that an error names."""

    def __init__(self, encoding: str, most: int, named: int, held: Held) -> None:
        if encoding not in _ENCODINGS:
            raise MalformedPayload(f"Content-Encoding {encoding[:20]!r} is not read: gzip, deflate")
        self._encoding, self._left, self._named, self._held = encoding, most, named, held
        self._unpacking = zlib.decompressobj(_EITHER)
        self._packed, self._last, self.has_more = b"", False, False

    def take(self, body: bytes, last: bool) -> None:
        """What has come, for ``part``."""
        self._packed, self._last = body, last

    def part(self) -> Message:
        """The next part of it, a slice; ``has_more``: another one waits.

        Raises:
            PayloadTooLarge: it is over the limit.
            Overloaded: there is no memory for it.
            MalformedPayload: it is not gzip or deflate, damaged or cut short.
        """
        try:
            plain = self._unpacking.decompress(self._packed, _SLICE_BYTES)
        except zlib.error as error:
            raise MalformedPayload(f"the body is no {self._encoding}: {error}") from error
        self._packed = self._unpacking.unconsumed_tail
        self.has_more = len(plain) == _SLICE_BYTES
        self._left -= len(plain)
        if self._left < 0:
            raise too_large(self._named)
        self._held.become(self._held.size + _COPIES * len(plain))
        ends = self._last and not self.has_more
        if ends and not self._unpacking.eof:
            raise MalformedPayload(f"the body's {self._encoding} is cut short")
        return {"type": "http.request", "body": plain, "more_body": not ends}


async def read_picture(request: Request, body_bytes: int) -> bytes:
    """The bytes of the picture in a request, raw or multipart.

    Raises:
        PayloadTooLarge: over ``body_bytes``.
        UnsupportedPicture: a Content-Type that holds no picture.
        MalformedPayload: a multipart body that cannot be read or has no such field.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == MULTIPART:
        return await _from_multipart(request, body_bytes)
    if kind and not kind.startswith(_RAW_TYPES):
        raise UnsupportedPicture(f"Content-Type {kind} is not read: {_HOW}")
    picture = bytearray()
    async for chunk in request.stream():
        picture += chunk
    if not picture:
        raise ImageError(f"the body is empty: {_HOW}")
    return bytes(picture)


async def _from_multipart(request: Request, body_bytes: int) -> bytes:
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=16)
    # Pictures are personal data: they stay in memory and never touch the disk.
    parser.spool_max_size = body_bytes + _ENVELOPE_BYTES + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise MalformedPayload(f"the multipart body cannot be read: {error.message}") from error
    picture = form.get(FIELD)
    try:
        if isinstance(picture, str):
            raise MalformedPayload(
                f"the part '{FIELD}' has no filename, and is no file without one: "
                f'Content-Disposition: form-data; name="{FIELD}"; filename="a.jpg"'
            )
        if picture is None:
            raise MalformedPayload(
                f"the multipart body has no file '{FIELD}', or ends before the file does: {_HOW}"
            )
        data = await picture.read()
    finally:
        await form.close()
    if len(data) > body_bytes:
        raise too_large(body_bytes)
    return data
