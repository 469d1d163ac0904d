"""Causes and their words."""

from __future__ import annotations

import socket
import ssl
from dataclasses import fields

import pytest

from splitfer.shared.cause import Cause, Names, came_back, cause_of_error, what_to_do

NAMES = Names("--url", "--ca", "--cert", "--key", "TOKEN", "HTTP port", "HTTP")


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_has_words_in_the_callers_own_names(cause: Cause) -> None:
    said = came_back(cause, NAMES) + what_to_do(cause, NAMES)
    assert "{" not in said
    assert "\n" not in said
    assert len(said) > 20
    for name in ("server_ca", "client_cert", "client_key", "gRPC"):
        assert name not in said
    assert {one.name for one in fields(Names)} >= {"address", "ca", "cert", "key", "token"}


def unverified(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "of the library")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(socket.EAI_NONAME, ""), Cause.UNKNOWN_HOST),
        (socket.gaierror(socket.EAI_AGAIN, ""), Cause.NAME_SERVER),
        (ConnectionRefusedError(111, "refused"), Cause.REFUSED),
        (ConnectionResetError(104, "reset"), Cause.CLOSED),
        (TimeoutError("timed out"), Cause.TIMED_OUT),
        (OSError(113, "No route to host"), Cause.UNREACHABLE),
        (unverified(10), Cause.CERTIFICATE_EXPIRED),
        (unverified(9), Cause.CERTIFICATE_NOT_YET_VALID),
        (unverified(62), Cause.CERTIFICATE_NAME),
        (unverified(64), Cause.CERTIFICATE_NAME),
        (unverified(20), Cause.CERTIFICATE_UNKNOWN),
        (unverified(18), Cause.CERTIFICATE_UNKNOWN),
        (tls("WRONG_VERSION_NUMBER"), Cause.PLAIN_SERVER),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), Cause.CERTIFICATE_WANTED),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), Cause.CERTIFICATE_REFUSED),
        (tls("SSLV3_ALERT_CERTIFICATE_EXPIRED"), Cause.CERTIFICATE_REFUSED),
        (tls("UNEXPECTED_EOF_WHILE_READING"), Cause.CLOSED),
        (tls("UNSUPPORTED_PROTOCOL"), Cause.TLS_FAILED),
    ],
)
def test_what_sockets_and_tls_raise(error: OSError, cause: Cause) -> None:
    assert cause_of_error(error) is cause
