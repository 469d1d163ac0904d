"""From gRPC's words to a cause. The words are those of gRPC 1.85, as it gave them."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.link.call_cause import cause_of_call, plain_words
from splitfer.shared.cause import Cause

ALL = "failed to connect to all addresses; last error: "
LOOK_UP = "[field:hostname lookup error:address lookup failed for a:1: "
TLS = (
    "UNKNOWN: ipv4:127.0.0.1:1: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:"
)
VERIFY = "1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: "


@pytest.mark.parametrize(
    ("details", "cause"),
    [
        ("errors resolving a:1: " + LOOK_UP + "Domain name not found]", Cause.UNKNOWN_HOST),
        ("errors resolving a:1: " + LOOK_UP + "Could not contact DNS servers]", Cause.NAME_SERVER),
        (ALL + "UNKNOWN: ipv4:127.0.0.1:9: Failed to connect to remote host: Connection refused",
         Cause.REFUSED),
        (ALL + "UNKNOWN: ipv4:10.0.0.1:9: Failed to connect to remote host: No route to host",
         Cause.UNREACHABLE),
        (ALL + "UNKNOWN: ipv4:127.0.0.1:1: tcp handshaker shutdown", Cause.NO_ANSWER),
        (ALL + "UNAVAILABLE: ipv4:127.0.0.1:1: Failed parsing HTTP/2 (Expected SETTINGS frame as "
         "the first frame, got frame type 80) (Trying to connect an http1.x server (HTTP status "
         "404))", Cause.OTHER_PROTOCOL),
        (ALL + TLS + "100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid "
         "certificate verification context: OK", Cause.PLAIN_SERVER),
        (ALL + TLS + VERIFY + "unable to get local issuer certificate: OK",
         Cause.CERTIFICATE_UNKNOWN),
        (ALL + TLS + VERIFY + "certificate has expired: OK", Cause.CERTIFICATE_EXPIRED),
        (ALL + TLS + VERIFY + "certificate is not yet valid: OK", Cause.CERTIFICATE_NOT_YET_VALID),
        (ALL + "UNKNOWN: ipv4:127.0.0.1:1: Custom verification check failed with error: "
         "UNAUTHENTICATED: Hostname Verification Check failed.", Cause.CERTIFICATE_NAME),
        (ALL + "UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", Cause.CLOSED),
        (ALL + "words of a later version", Cause.CLOSED),
    ],
)  # fmt: skip
def test_connections(details: str, cause: Cause) -> None:
    assert cause_of_call(grpc.StatusCode.UNAVAILABLE, details) is cause
    assert cause_of_call(grpc.StatusCode.UNAVAILABLE, plain_words(details)) is cause


@pytest.mark.parametrize(
    ("status", "details", "code", "cause"),
    [
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", None, Cause.NO_ANSWER),
        ("UNIMPLEMENTED", "Method not found!", None, Cause.OTHER_SERVICE),
        ("UNIMPLEMENTED", "Received http2 header with status: 404", None, Cause.OTHER_PROTOCOL),
        ("UNAUTHENTICATED", "no", None, Cause.UNAUTHORISED),
        ("PERMISSION_DENIED", "no", None, Cause.FORBIDDEN),
        ("INTERNAL", "", None, Cause.SERVER_ERROR),
        ("CANCELLED", "", None, Cause.BROKEN),
        ("UNAVAILABLE", "draining: Connection refused", "not_ready", Cause.NOT_READY),
        ("RESOURCE_EXHAUSTED", "", "overloaded", Cause.OVERLOADED),
        ("PERMISSION_DENIED", "", "forbidden", Cause.FORBIDDEN),
        ("INTERNAL", "", "of a later version", Cause.SERVER_ERROR),
    ],
)
def test_replies(status: str, details: str, code: str | None, cause: Cause) -> None:
    assert cause_of_call(grpc.StatusCode[status], details, code) is cause


@given(
    st.none() | st.sampled_from(grpc.StatusCode),
    st.text(),
    st.none() | st.sampled_from(Cause) | st.text(),
)
def test_anything_has_a_cause(
    status: grpc.StatusCode | None, details: str, code: str | None
) -> None:
    assert cause_of_call(status, details, code) in Cause
