"""What of a request's first lines is let pass, which is what readers of HTTP agree on; and whether
it brought anything to answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus

import h11
from starlette.types import ASGIApp, Receive, Scope, Send

from splitfer.cloud_server.protocol.error_map import json_body
from splitfer.cloud_server.rest_api.body import ANSWERS_NOTHING
from splitfer.cloud_server.rest_api.safe_headers import SAFE

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_HEADER_END = b"\r\n\r\n"
_AUTHORITY = rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?"
_HOST = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)


def has_bare_line_feed(data: bytes) -> bool:
    """Whether a header that begins in ``data`` has a line that ends without CR; readers of HTTP
    differ in what they take those for."""
    return _BARE_LINE_FEED.search(data.partition(_HEADER_END)[0]) is not None


def checked(request: h11.Request) -> h11.Request:
    """The request with a path as its target, also where it came with a whole address, as callers
    send it to proxies (RFC 9112, 3.2.2); the address's host then stands for the header's.

    Raises:
        h11.RemoteProtocolError: readers of HTTP differ in what it is, or it is no HTTP/1.1.
    """
    if request.method == b"PRI":  # HTTP/2 as gRPC begins it
        raise h11.RemoteProtocolError("gRPC has a port of its own, grpc_port", 505)
    given = dict(request.headers)
    if b"content-length" in given and b"transfer-encoding" in given:
        raise h11.RemoteProtocolError("Content-Length beside Transfer-Encoding", 400)
    absolute = _ABSOLUTE.fullmatch(request.target)
    host = absolute[1] if absolute else given.get(b"host", b"")
    nobody = absolute is not None and host.partition(b":")[0] == b""
    if nobody or not _HOST.fullmatch(host):
        raise h11.RemoteProtocolError("the request names no host that could be one", 400)
    if absolute is None:
        return request
    path = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    headers = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        target=path,
        headers=[(b"host", host), *headers],
        http_version=request.http_version,
    )


def header_bytes(scope: Scope) -> int:
    """Bytes of a request's target and headers."""
    line = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def refusal(
    status: int, code: str, message: str, headers: Mapping[str, str]
) -> tuple[h11.Response, h11.Data, h11.EndOfMessage]:
    """A whole reply in our one shape, that ends the connection."""
    body = json.dumps(json_body(code, message, status == 503)).encode()
    told = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    told |= {"Connection": "close", **headers}
    return (
        h11.Response(
            status_code=status,
            headers=[(k.encode(), v.encode()) for k, v in told.items()] + list(SAFE),
            reason=HTTPStatus(status).phrase.encode(),
        ),
        h11.Data(data=body),
        h11.EndOfMessage(),
    )


def too_long(most: int) -> ASGIApp:
    """What answers a request whose target and headers have more than ``most`` bytes."""
    message = f"the request line and headers are larger than {most} bytes"
    body = json.dumps(json_body("bad_request", message, False)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    told = [*headers, *SAFE, (b"connection", b"close")]

    async def refuse(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 431, "headers": told})
        await send({"type": "http.response.body", "body": body})

    return refuse


def is_worthless(scope: Scope, status: int) -> bool:
    """Whether a request with this reply brought no face or picture that was answered."""
    return scope["method"] != "POST" or status >= 400 or scope["state"].get(ANSWERS_NOTHING, False)
