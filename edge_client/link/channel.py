"""The gRPC channel with the settings that decide how fast an outage is noticed and over."""

from __future__ import annotations

import grpc

from splitfer.shared.contracts import Limits

_LIMITS = Limits()
OPTIONS = (
    # A peer that vanished without a word is noticed within 15 s even with no call under way.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # The defaults wait up to two minutes; most outages are over long before.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A server that moved is looked up again at once, not after 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A replaced channel must not get the broken connection of the one before.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # The environment's proxy is for browsers: most let no gRPC pass, and it need not be on the way.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", _LIMITS.body_bytes),
    ("grpc.max_receive_message_length", _LIMITS.infer_message_bytes),
)


def open_channel(
    server: str, ca: bytes | None, cert: bytes | None = None, key: bytes | None = None
) -> grpc.Channel:
    """A channel to ``host:port``; over TLS where certificates to trust (PEM) are given, and with a
    certificate of our own, and its key, where the server asks for one."""
    if ca is None:
        return grpc.insecure_channel(server, options=OPTIONS)
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.secure_channel(server, credentials, options=OPTIONS)
