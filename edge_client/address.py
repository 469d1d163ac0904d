"""The server's address: what it may look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

from splitfer.shared.loopback import is_this_machine
from splitfer.shared.peer_words import peer_words

_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_NAME = 253
_GRPC_PORT = 50051


@dataclass(frozen=True)
class Address:
    """A server's ``host`` (an IPv6 address without brackets) and ``port``."""

    host: str
    port: int

    @property
    def is_this_machine(self) -> bool:
        """Whether what is sent there never leaves this machine."""
        return is_this_machine(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """``host:port``, an IPv6 address in brackets.

    Raises:
        ValueError: it is something else; says what, and what would do. What may be a password is
            not quoted.
    """
    if "://" in text or "@" in text or "/" in text:
        raise ValueError(f"expected host:port, not a URL{_instead(text)}")
    shown = peer_words(repr(text), longest=100)
    if any(c.isspace() or not c.isprintable() for c in text):
        raise ValueError(f"expected host:port, not {shown}: leave out spaces and line breaks")
    if re.fullmatch(r"[0-9A-Fa-f:.]*::?[0-9A-Fa-f:.]*", text) and text.count(":") > 1:
        raise ValueError(
            f"expected host:port, not {shown}: an IPv6 address stands in brackets, such as "
            f"[2001:db8::1]:{_GRPC_PORT}"
        )
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        raise ValueError(
            f"expected host:port, not {shown}: the port is missing; gRPC's is {_GRPC_PORT} "
            "where the server's settings name no other"
        )
    if not host:
        raise ValueError(f"expected host:port, not {shown}: the host is missing")
    if not (port.isascii() and port.isdigit() and len(port) < 10 and 0 < int(port) < 65536):
        raise ValueError(f"expected host:port, not {shown}: a port is a number from 1 to 65535")
    return Address(_host(host, shown), int(port))


def _host(host: str, shown: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            raise ValueError(f"expected host:port, not {shown}: no IPv6 address") from None
        return host[1:-1]
    if not host.isascii():
        raise ValueError(f"expected host:port, not {shown}: write the name in ASCII (xn--...)")
    if not _NAME.fullmatch(host) or len(host) > _LONGEST_NAME:
        raise ValueError(f"expected host:port, not {shown}: no name of a host")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            IPv4Address(host)
        except AddressValueError:
            raise ValueError(f"expected host:port, not {shown}: no IPv4 address") from None
    return host


def _instead(url: str) -> str:
    """What to write in place of a URL; empty where that is not clear."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, port = parts.hostname, parts.port
        meant = parse_address(f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}")
    except ValueError:
        return f": write it without scheme, user and path, such as cloud.example:{_GRPC_PORT}"
    return f": write {meant}, where that is its gRPC port"
