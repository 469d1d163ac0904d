from __future__ import annotations

import io
from pathlib import Path

import pytest

from splitfer.edge_client.appliance.purpose import is_live, stated_purpose
from splitfer.shared.errors import ConfigError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def nobody(_: str) -> str:
    raise AssertionError("nobody is to be asked")


def test_it_is_asked_once_and_remembered(tmp_path: Path) -> None:
    asked = []

    def ask(words: str) -> str:
        asked.append(words)
        return " welcome visitors "

    source = "rtsp://me:s3cret@door/1"
    first = stated_purpose(None, source, ask, Terminal(), tmp_path / "state")
    again = stated_purpose(None, source, nobody, io.StringIO(), tmp_path / "state")
    assert first == again == "welcome visitors"
    assert "s3cret" not in asked[0]
    assert "s3cret" not in (tmp_path / "state" / "purposes.json").read_text()
    with pytest.raises(ConfigError, match="purpose: say what"):  # another camera, another purpose
        stated_purpose(None, "1", nobody, io.StringIO(), tmp_path / "state")


def test_what_is_set_needs_no_question(tmp_path: Path) -> None:
    assert stated_purpose("a study", "0", nobody, Terminal(), tmp_path) == "a study"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["", "  ", "x" * 301, "a\x1b[2Jb"])
def test_nothing_is_no_purpose(words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 to 300"):
        stated_purpose(None, "0", lambda _: words, Terminal(), tmp_path)


@pytest.mark.parametrize("damage", ["{", "[]", '{"0": 1}'])
def test_a_damaged_memory_asks_again(damage: str, tmp_path: Path) -> None:
    (tmp_path / "purposes.json").write_text(damage)
    told = stated_purpose(None, "1", lambda _: "a study", Terminal(), tmp_path)
    assert told == "a study"


def test_which_sources_are_live() -> None:
    assert all(map(is_live, ["0", "/dev/video2", "rtsp://a/b", "rtsps://a/b"]))
    assert not any(map(is_live, ["demo", "demo*3", "a.mp4", "folder", "http://a/b.mp4"]))
