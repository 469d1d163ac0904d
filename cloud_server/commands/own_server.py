"""HTTP to the server of this machine, as its own settings say."""

from __future__ import annotations

import http.client
import ipaddress
import ssl

from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.certificates import read_certificates
from splitfer.shared.errors import ConfigError


def own_connection(
    config: CloudConfig, timeout_s: float, verified: bool = False
) -> http.client.HTTPConnection:
    """A connection, not open yet, to the server that was started with ``config``.

    ``verified``: over TLS it must show the certificate of the settings, under whatever name; for
    who sends a token. Else it may show any, such as the one before a renewal.

    Raises:
        ConfigError: it listens on a port that nobody knows, or a certificate cannot be used.
    """
    if not config.http_port:
        raise ConfigError(
            "http_port: 0 is any free port, and which one nobody else knows; set one, or name it "
            "with --http-port"
        )
    host = _reachable(config.host)
    if not config.tls:
        return http.client.HTTPConnection(host, config.http_port, timeout=timeout_s)
    return http.client.HTTPSConnection(
        host, config.http_port, timeout=timeout_s, context=_context(config, verified)
    )


def _context(config: CloudConfig, verified: bool) -> ssl.SSLContext:
    assert config.tls_cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    read_certificates(None, config.tls_cert, config.tls_key, ("", "tls_cert", "tls_key"))
    if verified:
        context.verify_mode = ssl.CERT_REQUIRED
        # The certificate itself is what is trusted, whoever signed it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(config.tls_cert)
    if config.tls_client_ca is not None:
        cert, key = config.tls_cert, config.tls_key
        if config.health_cert is not None:
            cert, key = config.health_cert, config.health_key
            read_certificates(None, cert, key, ("", "health_cert", "health_key"))
        context.load_cert_chain(cert, key)
    return context


def _reachable(host: str) -> str:
    """Where a server that listens on ``host`` is reached from the same machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host
