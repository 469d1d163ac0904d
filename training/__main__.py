"""``python -m training run PIPELINE`` trains, exports and verifies what a file of steps says;
``python -m training compress --model NAME`` prunes and quantises a model of a device.
"""

from __future__ import annotations

import sys
from importlib import import_module

from splitfer.shared.standard_streams import ended_in_words

HOW_TO_INSTALL_ALL = "'make .venv/.dev' in a checkout installs what is measured and trained with"
# The module whose ``main`` reads the rest of the command line.
COMMANDS = {"run": "training.pipeline", "compress": "training.export.compress"}


def main() -> int:
    """Command line; gives the exit code."""
    name, arguments = (sys.argv[1] if sys.argv[1:] else ""), sys.argv[2:]
    if name not in COMMANDS:
        print(f"usage: python -m training {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 0 if name in ("-h", "--help") else 2
    sys.argv = [f"python -m training {name}", *arguments]
    try:
        module = import_module(COMMANDS[name])
    except ImportError as error:
        print(f"training: {error}; {HOW_TO_INSTALL_ALL}", file=sys.stderr)
        return 2
    code: int = module.main()
    return code


if __name__ == "__main__":
    sys.exit(ended_in_words("training", main))
