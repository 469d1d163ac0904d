"""The device's own HTTP server, as the settings ask for it: ``listen``, ``listen_token``."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

from splitfer.edge_client.address import Address
from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.extras import needing

if TYPE_CHECKING:
    from splitfer.edge_client.view.server import Shown, ViewServer


def open_http_server(config: EdgeConfig, address: Address, shown: Shown) -> ViewServer:
    """Serve ``shown``, and print where its page is. Beyond loopback a token is asked for: a new
    one, which is printed too, where the settings name none.

    Raises:
        ConfigError: it cannot listen there.
    """
    with needing("edge"):
        from splitfer.edge_client.view.server import ViewServer

    token = config.listen_token.get_secret_value() if config.listen_token else None
    made = token is None and not address.is_this_machine
    if made:
        token = secrets.token_urlsafe(16)
    server = ViewServer(address, shown, token)
    here = f"http://{Address(address.host, server.port)}/"
    if shown.live is not None:
        fragment = f"#token={token}" if made else ""
        print(f"edge-client: live page: {here}{fragment}", file=sys.stderr)
    elif made:
        print(f"edge-client: {here} asks for the token {token}", file=sys.stderr)
    return server
