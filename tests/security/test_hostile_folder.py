"""A folder of pictures into which somebody else puts what he likes."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from splitfer.edge_client.cli import main as edge
from splitfer.edge_client.sources.frame import Frame
from splitfer.edge_client.sources.open import open_source
from tests.camera import jpeg

SOON_S = 10.0


def a_link_to(place: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(place)


NO_PICTURES: dict[str, Callable[[Path], None]] = {
    "pipe": lambda path: os.mkfifo(path),
    "endless": a_link_to("/dev/zero"),
    "silent": a_link_to("/dev/ptmx"),
    "folder": Path.mkdir,
    "circle": a_link_to("a.jpg"),
}


@pytest.mark.parametrize("make", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_file_is_left_out_and_not_waited_for(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "b.jpg").write_bytes(jpeg(1))
    make(tmp_path / "a.jpg")
    source, frames = open_source(str(tmp_path)), list[Frame]()
    # A read that waits for ever cannot be broken off: in a thread that ends with the tests.
    reader = threading.Thread(target=lambda: frames.extend(source), daemon=True)
    reader.start()
    reader.join(SOON_S)
    assert not reader.is_alive()
    assert [Path(frame.source).name for frame in frames] == ["b.jpg"]
    assert source.skipped == 1


def test_any_name_stands_in_the_lines_and_in_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [
        b"a\n\x1b[31m\r.jpg",
        b"b\xff\xfe.jpg",
        "c\u202e.jpg".encode(),
        b"d" + b"x" * 250 + b".jpg",
    ]
    for name in names:
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(jpeg(2))
    outputs = ["--output", str(tmp_path / "o.jsonl"), "--csv", str(tmp_path / "o.csv")]
    summary = ["--summary", str(tmp_path / "o.json")]
    assert edge(["run", "--source", str(folder), "--crops", *outputs, *summary]) == 0

    lines = (tmp_path / "o.jsonl").read_text().splitlines()
    sources = [json.loads(line)["source"] for line in lines]
    assert [Path(source).name for source in sources] == [
        name.decode(errors="backslashreplace") for name in names
    ]
    # Text as every reader of JSON takes it.
    assert all(source.encode() for source in sources)
    rows = (tmp_path / "o.csv").read_text().splitlines()
    assert len(rows) == 1 + len(names)
    assert all(row.isprintable() for row in rows)
    shown = [row["source"] for row in csv.DictReader(rows)]
    assert shown[1] == f"{folder}/b\\xff\\xfe.jpg"


def test_a_folder_of_any_name_is_named_in_the_summary(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(3))
    summary = tmp_path / "o.json"
    words = ["--output", os.devnull, "--summary", str(summary)]
    assert edge(["run", "--source", str(folder), "--crops", *words]) == 0
    assert json.loads(summary.read_text())["source"]["name"] == f"{tmp_path}/\\xff"
