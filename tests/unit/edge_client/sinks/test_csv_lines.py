from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path

import pytest

from splitfer.edge_client.sinks.csv_lines import COLUMNS, CsvLines, check_table
from splitfer.edge_client.sinks.records import Origin
from splitfer.shared.errors import ConfigError
from tests.unit.edge_client.answers import face, frame


def write(path: Path, *indices: int, origin: Origin | None = None) -> None:
    with closing(CsvLines(path, origin or Origin("hall", 'a "door", in red'))) as table:
        for index in indices:
            table.write(frame(index), [face()] * (index % 3))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        read = list(reader)
        assert tuple(reader.fieldnames or ()) == COLUMNS
    assert all(None not in row and None not in row.values() for row in read)
    return read


def test_a_second_run_adds_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, 0, 1, 2)
    check_table(path)
    write(path, 4)
    assert [row["frame"] for row in rows(path)] == ["1", "2", "2", "4"]
    row = rows(path)[0]
    assert (row["label"], row["happy"], row["source_name"]) == ("happy", "0.93", 'a "door", in red')
    assert [row[side] for side in "xywh"] == ["60", "50", "40", "40"]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_row_is_taken_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.csv"
    write(path, 1, 4)
    path.write_bytes(path.read_bytes()[:-cut])
    write(path, 7)
    assert [row["frame"] for row in rows(path)] == ["1", "7"]


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("my,table\n1,2\n")
    with pytest.raises(ConfigError, match="something else"):
        write(path, 1)
    with pytest.raises(OSError, match="something else"):
        check_table(path)
    assert path.read_text() == "my,table\n1,2\n"


def test_two_runs_do_not_mix_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with closing(CsvLines(path, Origin())), pytest.raises(ConfigError, match="another process"):
        CsvLines(path, Origin())


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+1", "-1+cmd|' /C calc'!A0"])
def test_a_name_is_no_formula(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.csv"
    write(path, 1, origin=Origin(name, name))
    row = rows(path)[0]
    assert (row["device_id"], row["source_name"]) == (f"'{name}", f"'{name}")
    assert not row["label"].startswith("'")
