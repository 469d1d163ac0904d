"""The reference codec: one byte per symbol."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import MalformedPayload

SIZE_BYTES = int(np.prod(LATENT_SHAPE))


def encode(symbols: NDArray[np.uint8]) -> bytes:
    """uint8 ``(8, 28, 28)`` -> 6,272 bytes."""
    return symbols.tobytes()


def decode(body: bytes) -> NDArray[np.uint8]:
    """6,272 bytes -> uint8 ``(8, 28, 28)``, read-only.

    Raises:
        MalformedPayload: another number of bytes.
    """
    if len(body) != SIZE_BYTES:
        raise MalformedPayload(f"a raw latent is {SIZE_BYTES} bytes, not {len(body)}")
    return np.frombuffer(body, dtype=np.uint8).reshape(LATENT_SHAPE)
