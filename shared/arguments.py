"""What command lines of ours have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Once(argparse.Action):
    """A flag that is refused where it stands a second time, instead of forgetting the first.

    For what people may take for one of several: sources, outputs, config files. A parser with it
    parses once.
    """

    _given = False

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Take the value."""
        if self._given:
            parser.error(f"{option_string} stands twice, and there can be one")
        self._given = True
        setattr(namespace, self.dest, values)


def file_name(text: str) -> Path:
    """The path that was typed. An empty one, often a shell's unset variable, would be the working
    directory.

    Raises:
        argparse.ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty; leave it out, or name a file or folder")
    return Path(text)
