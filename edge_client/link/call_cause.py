"""From what gRPC says of a failed call to its cause."""

from __future__ import annotations

import re

import grpc

from splitfer.shared.cause import Cause

# These come of more than one fault: a look of one's own tells more (``diagnosis.py``).
VAGUE = frozenset(
    {
        Cause.CLOSED,
        Cause.NO_ANSWER,
        Cause.TLS_FAILED,
        Cause.PLAIN_SERVER,
        Cause.OTHER_PROTOCOL,
        Cause.CERTIFICATE_UNKNOWN,
    }
)

# Our own code decides where there is one.
_BY_CODE = {
    "model_mismatch": Cause.MODEL_MISMATCH,
    "overloaded": Cause.OVERLOADED,
    "not_ready": Cause.NOT_READY,
    "deadline": Cause.NO_ANSWER,
    "unauthorised": Cause.UNAUTHORISED,
    "forbidden": Cause.FORBIDDEN,
}
# gRPC's words for a connection that did not come about, or broke; the first that fits. They are
# no contract: what fits none is left to the status, and to a look of one's own.
_BY_WORDS = [
    (re.compile(pattern, re.IGNORECASE), cause)
    for pattern, cause in (
        (r"domain name not found|misformatted domain|answer with no data", Cause.UNKNOWN_HOST),
        (r"errors? resolving|resolution|dns server|address lookup failed", Cause.NAME_SERVER),
        (r"hostname verification|name mismatch|is not in peer cert", Cause.CERTIFICATE_NAME),
        (r"certificate has expired", Cause.CERTIFICATE_EXPIRED),
        (r"certificate is not yet valid", Cause.CERTIFICATE_NOT_YET_VALID),
        (r"CERTIFICATE_REQUIRED", Cause.CERTIFICATE_WANTED),
        (r"ALERT_\w*(CERTIFICATE|UNKNOWN_CA)", Cause.CERTIFICATE_REFUSED),
        (r"CERTIFICATE_VERIFY_FAILED", Cause.CERTIFICATE_UNKNOWN),
        (r"WRONG_VERSION_NUMBER|HTTP_REQUEST", Cause.PLAIN_SERVER),
        (r"ALPN", Cause.OTHER_PROTOCOL),
        (r"(tls|ssl|security) handshake|security handshaker|SSL_ERROR", Cause.TLS_FAILED),
        (r"parsing http/2|expected settings frame|http2 header with status|invalid http",
         Cause.OTHER_PROTOCOL),
        (r"connection refused", Cause.REFUSED),
        (r"no route to host|network is unreachable|host is unreachable|not permitted",
         Cause.UNREACHABLE),
        (r"tcp handshaker shutdown|timed? ?out|deadline exceeded", Cause.NO_ANSWER),
        (r"socket closed|connection reset|broken pipe|connection aborted|goaway|eof",
         Cause.CLOSED),
    )
]  # fmt: skip
# Where the words of these tell more than the status: nobody of ours spoke.
_CONNECTION = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN)
_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: Cause.CLOSED,
    grpc.StatusCode.CANCELLED: Cause.BROKEN,
    grpc.StatusCode.DEADLINE_EXCEEDED: Cause.NO_ANSWER,
    grpc.StatusCode.UNAUTHENTICATED: Cause.UNAUTHORISED,
    grpc.StatusCode.PERMISSION_DENIED: Cause.FORBIDDEN,
    grpc.StatusCode.UNIMPLEMENTED: Cause.OTHER_SERVICE,
}


def cause_of_call(status: grpc.StatusCode | None, details: str, code: str | None = None) -> Cause:
    """The cause of a call that failed with ``status`` and ``details``; ``code`` is our own from
    the trailing metadata."""
    if code is not None:
        return _BY_CODE.get(code, Cause.SERVER_ERROR)
    # A proxy or web server between us, or in the place of the server: no status of gRPC's own.
    if "http2 header with status" in details.lower():
        return Cause.OTHER_PROTOCOL
    if status in _CONNECTION:
        for pattern, cause in _BY_WORDS:
            if pattern.search(details):
                return cause
    return _BY_STATUS.get(status, Cause.SERVER_ERROR) if status else Cause.SERVER_ERROR


def plain_words(details: str) -> str:
    """gRPC's ``details`` without what it puts before every failed connection."""
    return re.sub(r"^failed to connect to all addresses; last error: ([A-Z_]+: )?", "", details)
