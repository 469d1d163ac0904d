"""``cloud-server health``: whether the server of this machine takes work, for probes of every kind.

It reads the settings that ``serve`` reads, so that a probe stays right where TLS, certificates of
callers or another port are set.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from splitfer.cloud_server.commands.own_server import own_connection
from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.arguments import positive
from splitfer.shared.errors import LinkError, NotReady
from splitfer.shared.peer_words import peer_words
from splitfer.shared.standard_streams import put

_TIMEOUT_S = 2.0
_LONGEST_REPLY_BYTES = 64 * 2**10


def add_health_command(commands: Any) -> None:
    """Add ``health`` to a parser's sub-commands."""
    health = commands.add_parser(
        "health",
        help="whether the server on this machine takes work",
        description="Ask the server on this machine whether it takes work: exit code 0 where it "
        "does, 1 where it does not. The settings are those of serve (--config, then variables, "
        "then flags), or with --pid those that a running server was started with.",
    )
    health.add_argument("--config", type=Path, metavar="FILE", help="the server's settings")
    health.add_argument("--host", help="address that it listens on (127.0.0.1)")
    health.add_argument("--http-port", type=int, metavar="PORT", help="8080")
    health.add_argument(
        "--pid",
        type=int,
        metavar="N",
        help="take the settings that process N was started with; in a container it is 1",
    )
    health.add_argument(
        "--live", action="store_true", help="ask only whether it lives, as it does while it drains"
    )
    health.add_argument(
        "--timeout-s",
        type=positive,
        default=_TIMEOUT_S,
        metavar="S",
        help=f"in which it must answer ({_TIMEOUT_S:g})",
    )
    health.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run_health(config: CloudConfig, live: bool, timeout_s: float = _TIMEOUT_S) -> None:
    """Print how the server is that was started with ``config``.

    Raises:
        ConfigError: it listens on a port that nobody knows, or a certificate cannot be used.
        NotReady: it takes no work.
        LinkError: it does not answer.
    """
    path = "/healthz" if live else "/readyz"
    connection = own_connection(config, timeout_s)
    where = f"{'https' if config.tls else 'http'}://{connection.host}:{connection.port}{path}"
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        status, body = response.status, response.read(_LONGEST_REPLY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise LinkError(f"{where} does not answer: {_why(config, error)}") from error
    finally:
        connection.close()
    try:
        said = json.loads(body)
        state = said.get("reason") or said.get("status") or said["error"]["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LinkError(f"{where} gave {status}, and not as this server does") from None
    if status != http.client.OK:
        raise NotReady(f"{where} says {peer_words(str(state))}")
    put(peer_words(str(state)))


def _why(config: CloudConfig, error: Exception) -> str:
    said = peer_words(str(error)) or type(error).__name__
    refused = isinstance(error, ssl.SSLError | ConnectionError | http.client.RemoteDisconnected)
    if (
        config.tls_client_ca is not None
        and refused
        and not isinstance(error, ConnectionRefusedError)
    ):
        return (
            f"{said}; where it does not take the certificate that it was shown, let health_cert "
            "and health_key name one that tls_client_ca signed"
        )
    return said
