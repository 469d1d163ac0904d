"""Where the command ``cloud-server`` begins: ends in silence where somebody thinks better of it
while it is still loading, which takes a small machine seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """See ``splitfer.cloud_server.cli.main``."""
    try:
        from splitfer.cloud_server.cli import main as run
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run(argv)
