"""What is said of what is over a limit."""

from __future__ import annotations

from splitfer.shared.errors import PayloadTooLarge


def too_large(most_bytes: int) -> PayloadTooLarge:
    """The error of a body over its limit."""
    return PayloadTooLarge(f"the body is larger than {most_bytes} bytes")
