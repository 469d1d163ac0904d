"""Where the command ``edge-client`` begins: says in one line what an installation lacks, and ends
in silence where somebody thinks better of it while it is still loading."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from splitfer.shared.errors import ConfigError
from splitfer.shared.extras import needing

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """See ``splitfer.edge_client.cli.main``."""
    try:
        with needing("edge"):
            from splitfer.edge_client.cli import main as run
        return run(argv)
    except ConfigError as error:
        print(f"edge-client: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
