"""SIGHUP: the settings that may change under a running server."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cloud_server.config import CloudConfig
from cloud_server.service import Service
from shared.errors import ConfigError

log = logging.getLogger(__name__)
_RELOADED = {"token", "tokens", "caller_limits", "limit_by_address"}


def reload(service: Service, read: Callable[[], CloudConfig]) -> None:
    """Read the settings and the tokens file again, and put the tokens and the limits of callers in
    force. Where anything is wrong, one line says what, and all stays as it was."""
    try:
        config = read()
        service.access.reload(config)
    except ConfigError as error:
        log.error("nothing was reloaded: %s", error)
        return
    log.info("reloaded the tokens and limits of callers; names: %s", service.access.names or "none")
    old, new = dict(service.config), dict(config)
    if changed := [name for name in old if name not in _RELOADED and old[name] != new[name]]:
        log.warning("changed too, and in force after a restart only: %s", ", ".join(changed))
