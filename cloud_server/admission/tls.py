"""The server's side of TLS: its certificate and those it asks of callers, which a reload replaces
under a running server."""

from __future__ import annotations

import logging
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import grpc

from splitfer.cloud_server.config import CloudConfig
from splitfer.shared.certificates import Certificates
from splitfer.shared.errors import ConfigError

# Before its end a certificate is warned of for so long.
NEAR_DAYS = 30.0
_DAY_S = 86_400
# OpenSSL's reasons, by words that are ours.
_REASONS = (
    ("DID_NOT_RETURN_A_CERTIFICATE", "certificate_wanted"),
    ("CERTIFICATE_VERIFY_FAILED", "certificate_refused"),
    ("ALERT_UNKNOWN_CA", "not_trusted"),
    ("ALERT_BAD_CERTIFICATE", "not_trusted"),
    ("ALERT_CERTIFICATE", "not_trusted"),
    ("HTTP_REQUEST", "plain_text"),
    ("WRONG_VERSION_NUMBER", "plain_text"),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _InForce:
    """One state of it. ``times`` are when each setting's certificates begin, the last of them, and
    end, the first."""

    pems: Certificates
    context: ssl.SSLContext
    times: Mapping[str, tuple[datetime, datetime]]

    def fault(self, name: str) -> str | None:
        """Why callers refuse the certificate of a setting now; None where it is in its time."""
        now = datetime.now(UTC)
        begin, end = self.times.get(name, (now, now))
        if now > end:
            return f"expired {(now - end).total_seconds() / _DAY_S:.0f} days ago"
        return f"is not valid before {begin:%Y-%m-%d %H:%M} UTC" if now < begin else None


class ServerTls:
    """What both listeners show and ask for; nothing where ``config`` has no certificate.

    ``failures`` counts HTTP's failed handshakes by reason; gRPC tells of none.

    Raises:
        ConfigError: a file cannot be used.
    """

    def __init__(self, config: CloudConfig) -> None:
        self.failures: Counter[str] = Counter()
        self._in_force = self.read(config)
        if self._in_force is not None:
            self._in_force.context.sni_callback = self._show_newest

    def read(self, config: CloudConfig) -> _InForce | None:
        """What the files of ``config`` hold now, for ``put``.

        Raises:
            ConfigError: a file cannot be used; names it and its setting.
        """
        if config.tls_cert is None:
            return None
        pems = config.certificates()
        try:
            context = pems.server_context()
        except OSError as error:  # it was read: sound, and not strong enough for OpenSSL
            why = getattr(error, "reason", None) or error.strerror
            raise ConfigError(f"tls_cert: {config.tls_cert} cannot be used: {why}") from error
        context.sslobject_class = self._counting()
        files = {"tls_cert": pems.cert, "tls_client_ca": pems.ca}
        times = {name: _time(pem) for name, pem in files.items() if pem is not None}
        return _InForce(pems, context, {name: one for name, one in times.items() if one})

    def refuse_worse(self, new: _InForce | None) -> None:
        """Leave a server certificate that is good in force.

        Raises:
            ConfigError: the one of ``new`` is out of its time, and the one in force is not.
        """
        name = "tls_cert"
        if new is None or self._in_force is None or self._in_force.fault(name):
            return
        if why := new.fault(name):
            raise ConfigError(f"{name}: the new certificate {why}; the one in force is good")

    def fits(self, config: CloudConfig) -> bool:
        """Whether ``config`` can be put in force without a restart: it turns nothing on or off."""
        if self._in_force is None:
            return config.tls_cert is None
        asks = self._in_force.pems.ca is not None
        return config.tls_cert is not None and (config.tls_client_ca is not None) == asks

    def put(self, new: _InForce | None) -> None:
        """Let new connections see ``new``. Open ones stay."""
        if new is not None and self._in_force is not None:
            self._in_force = new

    def context(self) -> ssl.SSLContext | None:
        """The context of the HTTP listener; each handshake shows the certificates then in force."""
        return self._in_force.context if self._in_force else None

    def grpc_credentials(self) -> grpc.ServerCredentials | None:
        """The credentials of the gRPC listener; each handshake uses what is then in force."""
        if self._in_force is None:
            return None
        asks = self._in_force.pems.ca is not None
        return grpc.dynamic_ssl_server_credentials(self._for_grpc(), self._for_grpc, asks)

    def days_left(self) -> dict[str, float]:
        """Until the first certificate of each setting ends; below zero where it has."""
        if self._in_force is None:
            return {}
        now = datetime.now(UTC)
        return {
            name: (end - now).total_seconds() / _DAY_S
            for name, (_, end) in self._in_force.times.items()
        }

    def warn(self) -> None:
        """Log each setting whose certificates are out of their time or will be soon."""
        for name, days in self.days_left().items():
            assert self._in_force is not None
            if why := self._in_force.fault(name):
                log.warning("%s %s: callers refuse it", name, why)
            elif days < NEAR_DAYS:
                log.warning("%s expires in %.0f days; renew it, then reload (SIGHUP)", name, days)

    def _for_grpc(self) -> Any:
        assert self._in_force is not None
        pems = self._in_force.pems
        assert pems.cert is not None
        assert pems.key is not None
        return grpc.ssl_server_certificate_configuration([(pems.key, pems.cert)], pems.ca)

    def _show_newest(self, connection: ssl.SSLObject, *_: object) -> None:
        assert self._in_force is not None
        connection.context = self._in_force.context

    def _counting(self) -> type[ssl.SSLObject]:
        return type("Counting", (_CountingHandshake,), {"failures": self.failures})


class _CountingHandshake(ssl.SSLObject):
    """Counts handshakes that fail; neither asyncio nor uvloop tells of them."""

    failures: ClassVar[Counter[str]]

    def do_handshake(self) -> None:
        """Take the next step of the handshake; count it where it fails."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            said = error.reason or ""
            reason = next((ours for word, ours in _REASONS if word in said), "other")
            self.failures[reason] += 1
            raise


def _time(pem: bytes) -> tuple[datetime, datetime] | None:
    """From the last begin of the certificates in ``pem`` to their first end."""
    # Loaded where there is TLS alone.
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(pem)
        begin = max(one.not_valid_before_utc for one in found)
        return begin, min(one.not_valid_after_utc for one in found)
    except ValueError as error:  # OpenSSL is content with it, and callers may be
        log.warning("the time of a certificate cannot be read: %s", error)
        return None
