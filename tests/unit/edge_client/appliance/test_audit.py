from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitfer.edge_client.appliance import audit
from splitfer.edge_client.appliance.audit import AuditLog


def test_events_are_added_and_the_newest_is_found(tmp_path: Path) -> None:
    failed: list[str] = []
    path = tmp_path / "state" / "audit.jsonl"
    log = AuditLog(path, failed.append)
    assert log.last("start") is None
    log.add("start", settings="a")
    log.add("stop")
    AuditLog(path, failed.append).add("start", settings="b")
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        "start",
        "stop",
        "start",
    ]
    newest = log.last("start")
    assert newest is not None
    assert newest["settings"] == "b"
    assert not failed
    assert path.stat().st_mode & 0o077 == 0


def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_BYTES", 500)
    log = AuditLog(tmp_path / "audit.jsonl", lambda words: pytest.fail(words))
    for number in range(50):
        log.add("start", number=number)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 700
    assert (log.last("start") or {})["number"] == 49


@pytest.mark.parametrize(
    "torn", [b'{"time": "2026", "event": "start", "sett', b'{"event": "start"']
)
def test_a_line_that_was_cut_short_costs_itself_alone(tmp_path: Path, torn: bytes) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", lambda words: pytest.fail(words))
    log.add("start", settings="a")
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(torn)
    assert (log.last("start") or {})["settings"] == "a"
    log.add("stop")
    _, left, last = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert left == torn
    assert json.loads(last)["event"] == "stop"


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.jsonl.1"])
def test_another_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(audit, "MAX_BYTES", 500)
    failed: list[str] = []
    log = AuditLog(tmp_path / "audit.jsonl", failed.append)
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\n" * 100)
    (tmp_path / name).symlink_to(notes)
    for _ in range(20):
        log.add("start")
    assert "something else" in failed[-1]
    assert (tmp_path / name).read_text() == "my notes\n" * 100


def test_a_first_line_that_hardly_began_is_none(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", lambda words: pytest.fail(words))
    (tmp_path / "audit.jsonl").write_bytes(b'{"ti')
    for _ in range(2):
        log.add("start")
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 2


def test_the_last_start_is_found_behind_much_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_BYTES", 60_000)
    log = AuditLog(tmp_path / "audit.jsonl", lambda words: pytest.fail(words))
    log.add("start", settings="a")
    while not (tmp_path / "audit.jsonl.1").exists():
        log.add("changed", pause=True, by="MQTT" * 100)
    assert (log.last("start") or {})["settings"] == "a"


def test_a_disk_that_takes_nothing_holds_up_nobody(tmp_path: Path) -> None:
    failed: list[str] = []
    (tmp_path / "file").write_text("")
    AuditLog(tmp_path / "file" / "audit.jsonl", failed.append).add("start")
    assert len(failed) == 1
    assert "audit log" in failed[0]
