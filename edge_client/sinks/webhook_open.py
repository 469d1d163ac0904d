"""Opens the webhook that the settings name."""

from __future__ import annotations

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.webhook import Webhook
from splitfer.shared.certificates import read_certificates


def opened_webhook(config: EdgeConfig, outbox: Outbox, version: str) -> Webhook:
    """The webhook of ``config``, which sends what waits in ``outbox``.

    Raises:
        ConfigError: a certificate is not as it must be.
    """
    address, secret = config.webhook_address, config.webhook_secret
    assert address is not None
    pems = read_certificates(config.webhook_ca, None, None, ("webhook_ca", "", ""))
    return Webhook(
        address,
        outbox,
        secret.get_secret_value().encode() if secret else None,
        pems.context() if address.tls else None,
        version,
    )
