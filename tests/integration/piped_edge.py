"""``edge-client``, whose folder's pipes are pictures too: each is read once somebody writes it.

A folder's pipes are left out otherwise, since nobody may ever write them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from splitfer.edge_client import cli
from splitfer.edge_client.sources import files


def _read(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as pipe:
        return pipe.read(most_bytes)


if __name__ == "__main__":
    files.read_regular = _read
    sys.exit(cli.main())
