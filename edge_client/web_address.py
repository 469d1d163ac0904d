"""An http(s) address that something is sent to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class WebAddress:
    """``target`` is path and query, which may hold a secret and is in no log."""

    tls: bool
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def parse_web_address(text: str) -> WebAddress:
    """``http://`` or ``https://``, a host, and what follows.

    Raises:
        ValueError: it is something else; does not quote it, since it may hold a secret.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("expected an address such as https://example.org/hook") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
        raise ValueError("expected an address such as https://example.org/hook")
    if " " in text or not text.isascii():
        raise ValueError("an address has no spaces and is ASCII: write others as %20 and so on")
    if parts.username is not None:
        raise ValueError("the address holds a user; sign the posts with webhook_secret instead")
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebAddress(tls, parts.hostname, port or (443 if tls else 80), target)
