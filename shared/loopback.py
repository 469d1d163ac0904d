"""Whether an address is this machine's own."""

from __future__ import annotations

from ipaddress import ip_address


def is_this_machine(host: str) -> bool:
    """Whether what is sent to ``host`` (a name, or an IP address without brackets) never leaves
    this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
