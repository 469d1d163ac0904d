"""Flags that set settings are described by the settings themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from splitfer.shared.arguments import Parser, add_setting, positive, whole
from splitfer.shared.settings import Settings


class Kettle(Settings):
    boils_at_c: int = Field(100, description="degrees at 100 % of sea level")
    whistles: bool = Field(False, description="whether it whistles")
    colour: Literal["red", "blue"] | None = Field(None, description="of the lid")
    shelf: Path | None = None


def help_of(flag: str, **options: object) -> str:
    parser = argparse.ArgumentParser(prog="kettle")
    add_setting(parser, Kettle, flag, **options)
    return " ".join(parser.format_help().split())


@pytest.mark.parametrize(
    ("flag", "options", "words"),
    [
        ("--boils-at-c", {"type": int}, "degrees at 100 % of sea level (100)"),
        ("--boils", {"type": int, "dest": "boils_at_c"}, "degrees at 100 % of sea level (100)"),
        ("--whistles", {"action": "store_true"}, "whether it whistles (no)"),
        ("--colour", {}, "of the lid"),
    ],
)
def test_the_help_is_the_settings_description_with_its_default(
    flag: str, options: dict[str, object], words: str
) -> None:
    assert help_of(flag, **options).endswith(words)


def test_a_flag_of_no_setting_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        help_of("--handle")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "--polcy"], "tool: unrecognized arguments: --polcy; did you mean --policy?"),
        (["run", "--pol=x"], "tool: unrecognized arguments: --pol=x; did you mean --policy?"),
        (["run", "--fps", "x"], "tool run: argument --fps: invalid float value: 'x'"),
        (["ran"], "tool: argument COMMAND: invalid choice: 'ran'"),
        (["run", "a\nb"], "tool: unrecognized arguments: a\\nb"),
    ],
)
def test_what_is_wrong_on_a_command_line_is_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No page of usage before it; and no flag by its beginning, which may become another one's."""
    parser = Parser(prog="tool")
    run = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("run")
    run.add_argument("--policy")
    run.add_argument("--fps", type=float)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words)
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)
    assert said.endswith("--help says more)")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (one, text)
        for one in (positive, partial(whole, most=100))
        for text in ("x", "0", "-1", "1e9", "nan", "")
    ],
)
def test_what_is_no_such_number_is_said_in_words(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=rf"expected .*, not '{text}'"):
        kind(text)


def test_numbers() -> None:
    assert (positive("0.5"), whole("100", most=100)) == (0.5, 100)
