"""The entropy codec: a range coder whose chances come from the symbols already coded.

The work is done in C (``entropy_core.c``), in integers only, so that every machine writes the
same bytes. docs/api/payload.md describes the format.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

try:
    from splitfer.shared.codec import _entropy
except ImportError as error:
    raise ImportError(
        "the entropy codec is not compiled in this checkout, which is where Python found splitfer: "
        "pip install -e . in it, or start elsewhere what is installed"
    ) from error
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import MalformedPayload, WeightsError

NAME = "entropy"


@dataclass(frozen=True)
class EntropyTables:
    """The chances of each rate's symbols, as fitted with the weights; the file's bytes."""

    data: bytes = field(repr=False)
    _tables: _entropy.Tables = field(repr=False, compare=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> EntropyTables:
        """Tables from the bytes of their file.

        Raises:
            WeightsError: the bytes are no tables.
        """
        try:
            return cls(data, _entropy.read_tables(data))
        except ValueError as error:
            raise WeightsError(f"not entropy tables: {error}") from error

    def to_bytes(self) -> bytes:
        """The bytes of the file."""
        return self.data

    @property
    def limit(self) -> int:
        """The largest size of a symbol: symbols are 128 - limit to 128 + limit."""
        return self.data[4]

    @property
    def rates(self) -> int:
        """How many rates there are."""
        return self.data[5]


def encode_symbols(symbols: NDArray[np.uint8], rate: int, tables: EntropyTables) -> bytes:
    """uint8 ``(8, 28, 28)`` at the rate of this index -> the body, of any length.

    A body of more than ``raw.SIZE_BYTES`` is not decoded: such symbols are sent raw.

    Raises:
        ValueError: no latent, or a symbol outside the limit.
        IndexError: no such rate.
    """
    if symbols.shape != LATENT_SHAPE or symbols.dtype != np.uint8:
        raise ValueError(f"a latent is uint8 {LATENT_SHAPE}, not {symbols.dtype} {symbols.shape}")
    return _entropy.encode(tables._tables, rate, symbols.tobytes())


def decode_symbols(body: bytes, rate: int, tables: EntropyTables) -> NDArray[np.uint8]:
    """A body -> the symbols that give this very body again; uint8 ``(8, 28, 28)``, read-only.

    Raises:
        MalformedPayload: no symbols give this body at this rate.
        IndexError: no such rate.
    """
    try:
        symbols = _entropy.decode(tables._tables, rate, body)
    except ValueError as error:
        raise MalformedPayload(f"the entropy code is damaged: {error}") from error
    return np.frombuffer(symbols, dtype=np.uint8).reshape(LATENT_SHAPE)
