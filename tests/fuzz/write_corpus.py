"""Where a fuzzer starts: ``python -m tests.fuzz.write_corpus FOLDER``."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "unit/shared/codec/entropy_golden.npz"


def golden_bodies() -> list[tuple[int, bytes]]:
    """Rate and body of each golden case."""
    golden = np.load(GOLDEN)
    ends, bodies = golden["ends"], golden["bodies"].tobytes()
    pairs = itertools.pairwise(ends)
    return [
        (int(rate), bodies[start:end])
        for rate, (start, end) in zip(golden["rates"], pairs, strict=True)
    ]


def golden_tables() -> bytes:
    """The file of the tables that the golden bodies were written with."""
    return np.load(GOLDEN)["tables"].tobytes()


def main() -> None:
    """Write the tables, and a corpus of the golden bodies."""
    folder = Path(sys.argv[1])
    (folder / "tables.bin").write_bytes(golden_tables())
    for case, (rate, body) in enumerate(golden_bodies()):
        (folder / "corpus" / f"golden{case}").write_bytes(bytes((rate,)) + body)


if __name__ == "__main__":
    main()
