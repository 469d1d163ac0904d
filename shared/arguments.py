"""What command lines of ours have in common."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from splitfer.shared.log_lines import plain_line

if TYPE_CHECKING:
    from splitfer.shared.settings import Settings


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and what was meant where a flag is misspelt. A flag is not
    taken by its beginning: that would mean another one as soon as there is another one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            flag = unknown.split()[0].partition("=")[0]
            close = difflib.get_close_matches(flag, self._flags(), n=1)
            message += f"; did you mean {close[0]}?" if close else ""
        self.exit(2, f"{plain_line(f'{self.prog}: {message}')} ({self.prog} --help says more)\n")

    def _flags(self) -> list[str]:
        """Its own, and those of its commands."""
        found = dict.fromkeys(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    found |= dict.fromkeys(command._flags())
        return list(found)


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


def positive(text: str) -> float:
    """A number of seconds, frames a second or the like.

    Raises:
        argparse.ArgumentTypeError: it is no number, not above 0, or more than 1000.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number above 0, at most 1000, not {text!r}")
    return number


def whole(text: str, most: int) -> int:
    """A number from 1 to ``most``.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or len(text) > 18 or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 to {most}, not {text!r}")
    return int(text)


def add_setting(
    parser: argparse.ArgumentParser, settings: type[Settings], flag: str, **options: Any
) -> None:
    """A flag that sets the setting of its name (or of ``dest``). Its help is the setting's own
    description, with the default in brackets; the other options are ``add_argument``'s."""
    name = options.get("dest") or flag.removeprefix("--").replace("-", "_")
    field = settings.model_fields[name]
    words = field.description or ""
    if default := _shown(field.default):
        words = f"{words} ({default})"
    parser.add_argument(flag, help=words.replace("%", "%%").strip(), **options)


def _shown(default: object) -> str:
    if default is None or default in ("", ()):
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default.value if isinstance(default, Enum) else default)
