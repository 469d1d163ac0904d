"""SIGHUP: the settings that may change under a running server."""

from __future__ import annotations

import logging
from collections.abc import Callable

from splitfer.cloud_server.admission.access import Access
from splitfer.cloud_server.admission.tls import ServerTls
from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.errors import ConfigError

log = logging.getLogger(__name__)
_RELOADED = {"token", "tokens", "caller_limits", "limit_by_address"}
_CERTIFICATES = {"tls_cert", "tls_key", "tls_client_ca"}


def reload(
    running: CloudConfig, access: Access, tls: ServerTls, read: Callable[[], CloudConfig]
) -> None:
    """Read the settings, the tokens file and the certificates again, and put tokens, limits of
    callers and certificates in force. Where anything is wrong, one line says what, and all stays as
    it was."""
    try:
        config = read()
        fits = tls.fits(config)
        certificates = tls.read(config) if fits else None
        tls.refuse_worse(certificates)
        access.reload(config)
    except ConfigError as error:
        log.error("nothing was reloaded: %s", error)
        return
    log.info("reloaded the tokens and limits of callers; names: %s", access.names or "none")
    reloaded = _RELOADED
    if fits:
        reloaded = reloaded | _CERTIFICATES
        tls.put(certificates)
        for name, days in tls.days_left().items():
            if days > 0:
                log.info("reloaded %s; it is good for %.0f days", name, days)
        tls.warn()
    old, new = dict(running), dict(config)
    if changed := [name for name in old if name not in reloaded and old[name] != new[name]]:
        log.warning("changed too, and in force after a restart only: %s", ", ".join(changed))
