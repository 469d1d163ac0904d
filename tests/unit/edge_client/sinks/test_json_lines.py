from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.sinks.json_lines import JsonLines
from splitfer.edge_client.sinks.records import face_record
from splitfer.shared.contracts import Trust
from splitfer.shared.errors import ConfigError
from tests.unit.edge_client.answers import face, frame


def records(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def frames(path: Path) -> list[int]:
    return [record["frame"] for record in records(path)]


def write(path: Path, *indices: int, max_mb: float | None = None) -> None:
    lines = JsonLines(str(path), max_mb=max_mb)
    for index in indices:
        lines.write(frame(index), [face()])
    lines.close()


def line(index: int) -> str:
    return json.dumps(face_record(frame(index), 0, face()))


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "answers.jsonl"
    left = {one.name for one in tmp_path.iterdir()}
    assert left <= {"answers.jsonl", "answers.jsonl.1", "link"}


def test_a_second_run_adds_to_the_first(path: Path) -> None:
    write(path, 0, 1)
    write(path, 2)
    assert frames(path) == [0, 1, 2]


@pytest.mark.parametrize("cut", [1, 9, 12, 60, 200_000])
def test_a_last_line_cut_short_does_not_spoil_the_next(path: Path, cut: int) -> None:
    long = line(1).replace("film", "f" * 300_000)
    path.write_text(line(0) + "\n" + long[:cut])
    write(path, 2)
    assert frames(path) == [0, 2]


def test_a_first_line_cut_short_is_ours_too(path: Path) -> None:
    path.write_text(line(0)[:5])
    write(path, 1)
    assert frames(path) == [1]


def test_a_last_line_that_only_lacks_its_end_stays(path: Path) -> None:
    path.write_text(line(0))
    write(path, 1)
    assert frames(path) == [0, 1]


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"notes\n", b'{\n  "frames": 3\n}\n'])
def test_what_is_not_ours_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--output .*answers\.jsonl: .* something else"):
        JsonLines(str(path))
    assert path.read_bytes() == content


def test_two_that_write_to_one_file_would_lose_lines(path: Path) -> None:
    first = JsonLines(str(path))
    with pytest.raises(ConfigError, match="another process"):
        JsonLines(str(path))
    first.close()
    write(path, 0)


def test_a_full_file_is_renamed_and_both_hold_whole_lines(path: Path) -> None:
    size = len(line(10)) + 1
    write(path, *range(10, 25), max_mb=10.5 * size / 1e6)
    assert frames(path.with_name("answers.jsonl.1")) == list(range(10, 20))
    assert frames(path) == list(range(20, 25))
    write(path, *range(25, 35), max_mb=10.5 * size / 1e6)
    assert frames(path.with_name("answers.jsonl.1")) == list(range(20, 30))
    assert frames(path) == list(range(30, 35))


def test_lines_longer_than_the_limit_are_written_all_the_same(path: Path) -> None:
    write(path, 0, 1, max_mb=1e-6)
    assert frames(path) == [1]
    assert frames(path.with_name("answers.jsonl.1")) == [0]


def test_rotation_follows_a_link_to_the_file(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    write(link, 0, 1, max_mb=1e-6)
    assert link.is_symlink()
    assert frames(path) == [1]


def test_a_disk_that_has_room_again_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = JsonLines(str(path))
    lines.write(frame(0), [face()])
    out = lines._out
    assert out is not None

    class HalfAFrame:
        fileno = out.fileno
        close = out.close
        left = 30

        def write(self, data: memoryview) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = out.write(data[: self.left])
            self.left -= written
            return written

    monkeypatch.setattr(lines, "_out", HalfAFrame())
    for index in (1, 2):
        with pytest.raises(OSError, match="No space"):
            lines.write(frame(index), [face()])
        assert frames(path) == [0]
    monkeypatch.setattr(lines, "_out", out)
    lines.write(frame(3), [face()])
    lines.close()
    assert frames(path) == [0, 3]


def test_a_pipe_gets_its_lines(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, 0)
        assert json.loads(os.read(reader, 10_000))["frame"] == 0
    finally:
        os.close(reader)


def test_a_record_says_how_good_the_picture_is_and_keeps_what_the_network_said() -> None:
    record = face_record(frame(), 0, face(trust=Trust(0.41237, uncertain=True)))
    assert (record["quality"], record["uncertain"], record["confidence"]) == (0.322, True, 0.4124)
    assert (record["label"], record["probabilities"]["happy"]) == ("happy", 0.93)
