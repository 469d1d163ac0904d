from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from splitfer.cloud_server.server.pid_file import pid_written
from splitfer.shared.errors import ConfigError


@pytest.mark.parametrize("held", [None, "", "999999999\n", "  7 "])
def test_it_holds_our_number_meanwhile(held: str | None, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    if held is not None:
        file.write_text(held)
    with pid_written(file):
        assert file.read_text() == f"{os.getpid()}\n"
    assert not file.exists()


def itself(notes: Path, file: Path) -> None:
    notes.rename(file)


def a_link(notes: Path, file: Path) -> None:
    file.symlink_to(notes)


@pytest.mark.parametrize("make", [itself, a_link])
@pytest.mark.parametrize("words", ["my notes\n", "12 people\n" * 100])
def test_another_file_is_left_alone(
    make: Callable[[Path, Path], None], words: str, tmp_path: Path
) -> None:
    notes, file = tmp_path / "notes.txt", tmp_path / "pid"
    notes.write_text(words)
    make(notes, file)
    with pytest.raises(ConfigError, match="holds something else"), pid_written(file):
        pass
    assert file.read_text() == words


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    os.mkfifo(file)
    # So that the test ends where it is.
    late = threading.Timer(10, lambda: os.close(os.open(file, os.O_RDWR)))
    late.start()
    with pytest.raises(ConfigError, match="no file but"), pid_written(file):
        pass
    late.cancel()
