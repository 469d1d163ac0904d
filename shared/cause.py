"""Why a server cannot be used, as causes with words: what came back, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum

# X509_V_ERR_* of OpenSSL.
_NOT_YET_VALID, _EXPIRED = 9, 10
_NAME_MISMATCH, _ADDRESS_MISMATCH = 62, 64


class Cause(StrEnum):
    """Why a server cannot be used."""

    UNKNOWN_HOST = "unknown_host"
    NAME_SERVER = "name_server"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    SILENT = "silent"
    CLOSED = "closed"
    NO_ANSWER = "no_answer"
    BROKEN = "broken"
    CERTIFICATE_UNKNOWN = "certificate_unknown"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_NAME = "certificate_name"
    CERTIFICATE_WANTED = "certificate_wanted"
    CERTIFICATE_REFUSED = "certificate_refused"
    TLS_FAILED = "tls_failed"
    PLAIN_SERVER = "plain_server"
    TLS_SERVER = "tls_server"
    OTHER_PROTOCOL = "other_protocol"
    OTHER_SERVICE = "other_service"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    MODEL_MISMATCH = "model_mismatch"
    NOT_READY = "not_ready"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"


@dataclass(frozen=True)
class Names:
    """What the settings are called where the words are read, and the port that is meant."""

    address: str = "'server'"
    ca: str = "server_ca"
    cert: str = "client_cert"
    key: str = "client_key"
    token: str = "'token'"
    port: str = "gRPC port (50051)"
    protocol: str = "gRPC"


# What came back, and what to do. Braces name fields of Names.
_WORDS: dict[Cause, tuple[str, str]] = {
    Cause.UNKNOWN_HOST: (
        "its name is not known",
        "check the spelling of {address}, and that this device's DNS knows it",
    ),
    Cause.NAME_SERVER: (
        "the DNS did not answer for its name",
        "check this device's network and name server, or name the server by its IP address",
    ),
    Cause.REFUSED: (
        "the connection was refused, nothing listens there",
        (
            "start the server, or correct the host and port in {address}; unless it is started "
            "with --host, a server listens on 127.0.0.1 alone"
        ),
    ),
    Cause.UNREACHABLE: (
        "there is no way to it",
        "check this device's network, and the host in {address}",
    ),
    Cause.TIMED_OUT: (
        "nothing answered at that address",
        "check that the server runs, the host and port in {address}, and firewalls on the way",
    ),
    Cause.SILENT: (
        "something listens there, and says nothing in {protocol}",
        "check that {address} names the server's {port}, and that the server does not hang",
    ),
    Cause.CLOSED: (
        "it closes each connection at once",
        (
            "check that {address} names the server's {port}, and the server's log and its limit of "
            "connections"
        ),
    ),
    Cause.NO_ANSWER: (
        "no answer came in time",
        (
            "the server is busy or the network slow; where it stays so, look at the server's log, "
            "or give more time with deadline_ms"
        ),
    ),
    Cause.BROKEN: (
        "the connection broke",
        "look whether the server was stopped, and at the network",
    ),
    Cause.CERTIFICATE_UNKNOWN: (
        "its certificate is of an authority that is not trusted here",
        "let {ca} name the certificate of the authority that signed the server's",
    ),
    Cause.CERTIFICATE_EXPIRED: (
        "its certificate has expired",
        "renew the server's certificate (tls_cert) and reload it; check this device's clock",
    ),
    Cause.CERTIFICATE_NOT_YET_VALID: (
        "its certificate is not valid yet",
        "set this device's clock; else look at the dates of the server's certificate (tls_cert)",
    ),
    Cause.CERTIFICATE_NAME: (
        "its certificate is for another name",
        (
            "let {address} use a name or IP address that stands in the certificate "
            "(subjectAltName), or give the server a certificate with this one"
        ),
    ),
    Cause.CERTIFICATE_WANTED: (
        (
            "it ends the connection after the TLS handshake, as a server does that wants a "
            "certificate of its callers"
        ),
        "set {cert} and {key} (the server's tls_client_ca says whose)",
    ),
    Cause.CERTIFICATE_REFUSED: (
        "it does not accept this caller's certificate",
        "let {cert} be one that the server's tls_client_ca signed and that has not expired",
    ),
    Cause.TLS_FAILED: (
        "the TLS handshake failed",
        "check {ca}, {cert} and {key}, and that the server speaks TLS 1.2 or later",
    ),
    Cause.PLAIN_SERVER: (
        "it does not speak TLS",
        (
            "turn TLS on at the server (tls_cert, tls_key), or where plain text will do, leave out "
            "{ca}"
        ),
    ),
    Cause.TLS_SERVER: (
        "it speaks TLS only",
        "let {ca} name the certificate of the authority that signed the server's",
    ),
    Cause.OTHER_PROTOCOL: (
        "what answers there does not speak {protocol}",
        "let {address} name the server's {port}",
    ),
    Cause.OTHER_SERVICE: (
        "the server there is not SplitFER's, or of another version",
        "correct {address}, or install the same version on both",
    ),
    Cause.UNAUTHORISED: (
        "it refuses who asks",
        "set {token} to one that is in the server's tokens",
    ),
    Cause.FORBIDDEN: (
        "it does not let this {token} ask that",
        "give the token the scope that is missing, in the server's tokens",
    ),
    Cause.MODEL_MISMATCH: (
        "it does not fit this device",
        "install the same version on both, and give both the same weights",
    ),
    Cause.NOT_READY: ("it is starting or stopping", "wait, or look at the server's log"),
    Cause.OVERLOADED: (
        "it is too busy",
        "send less (policy auto, max_bytes_per_s), raise the caller's limits, or add servers",
    ),
    Cause.SERVER_ERROR: ("it failed", "look at the server's log"),
}


def came_back(cause: Cause, names: Names) -> str:
    """What came back, to stand after the server's name."""
    return _WORDS[cause][0].format(**vars(names))


def what_to_do(cause: Cause, names: Names) -> str:
    """What to do about it, naming settings as ``names`` does."""
    return _WORDS[cause][1].format(**vars(names))


def cause_of_error(error: OSError) -> Cause | None:
    """The cause of what connecting a socket or TLS raised; None where it says too little."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return {
            _EXPIRED: Cause.CERTIFICATE_EXPIRED,
            _NOT_YET_VALID: Cause.CERTIFICATE_NOT_YET_VALID,
            _NAME_MISMATCH: Cause.CERTIFICATE_NAME,
            _ADDRESS_MISMATCH: Cause.CERTIFICATE_NAME,
        }.get(error.verify_code, Cause.CERTIFICATE_UNKNOWN)
    if isinstance(error, ssl.SSLError):
        return _of_tls(str(error.reason or error))
    if isinstance(error, socket.gaierror):
        busy = error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL)
        return Cause.NAME_SERVER if busy else Cause.UNKNOWN_HOST
    if isinstance(error, ConnectionRefusedError):
        return Cause.REFUSED
    if isinstance(error, TimeoutError):
        return Cause.TIMED_OUT
    if isinstance(error, ConnectionError):  # reset, aborted, a broken pipe
        return Cause.CLOSED
    # OSError: no route to the host, no network, not permitted.
    return Cause.UNREACHABLE if type(error) is OSError else None


def _of_tls(reason: str) -> Cause:
    """The cause that OpenSSL's reason means, such as ``WRONG_VERSION_NUMBER``."""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return Cause.PLAIN_SERVER
    if "CERTIFICATE_REQUIRED" in reason:
        return Cause.CERTIFICATE_WANTED
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return Cause.CERTIFICATE_REFUSED
    if "EOF" in reason:
        return Cause.CLOSED
    return Cause.TLS_FAILED
