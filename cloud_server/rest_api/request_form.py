"""What of a request's first lines is let pass: what readers of HTTP agree on."""

from __future__ import annotations

import re

import h11
from starlette.types import Scope

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
