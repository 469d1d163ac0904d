"""One file per question; each prints JSON with ``--json`` and names the machine."""
