from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitfer.edge_client.sinks.output_files import Input, Output, check_outputs
from splitfer.edge_client.sources.open import source_files
from splitfer.shared.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a picture with other names, a folder of pictures, a settings file."""
    folder = tmp_path / "work"
    (folder / "pictures").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"picture")
    (folder / "linked.jpg").symlink_to("a.jpg")
    (folder / "hard.jpg").hardlink_to(folder / "a.jpg")
    (folder / "pictures" / "b.PNG").write_bytes(b"picture")
    (folder / "pictures" / "notes.txt").write_bytes(b"notes")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling.json").symlink_to("new.json")
    (tmp_path / "other").symlink_to("work")
    monkeypatch.chdir(folder)
    return folder


def check(
    *outputs: str | Output, source: str = "a.jpg", overwrite: bool = True, folder: bool = False
) -> None:
    named = [
        one if isinstance(one, Output) else Output(f"--{number}", one)
        for number, one in enumerate(outputs)
    ]
    read = Input(f"--source {source}", source_files(source), Path(source) if folder else None)
    check_outputs(named, [read], overwrite)


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "./a.jpg", "linked.jpg", "hard.jpg", "pictures/../a.jpg", "../other/a.jpg"],
)
@pytest.mark.parametrize("source", ["a.jpg", "linked.jpg", "hard.jpg"])
def test_no_output_is_an_input_by_whatever_name(name: str, source: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check(name, source=source)
    assert f"--0 {name} is also read, as --source {source}" in str(refused.value)
    with pytest.raises(ConfigError, match="is also read"):
        check(str(folder / name), source=source)
    assert (folder / "a.jpg").read_bytes() == b"picture"


def test_nor_a_picture_of_a_folder_now_or_in_the_next_run() -> None:
    for name in ("pictures/b.PNG", "pictures/new.jpg", "../other/pictures/new.webp"):
        with pytest.raises(ConfigError, match="is also read, as --source pictures"):
            check(name, source="pictures", folder=True)
    check("pictures/answers.jsonl", source="pictures", folder=True)


def test_the_bundled_clip_is_an_input() -> None:
    (clip,) = source_files("demo*3")
    with pytest.raises(ConfigError, match="is also read"):
        check(str(clip), source="demo*3")


def test_what_is_no_file_has_no_files() -> None:
    for spec in ("0", "rtsp://camera/stream", "http://host/a.mp4", "gone.mp4"):
        assert source_files(spec) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("z", "z"),
        ("z", "./z"),
        ("z", "pictures/../Z"),
        ("z", "../other/z"),
        ("dangling.json", "new.json"),
        ("é.json", "e\u0301.JSON"),
        ("hard.jpg", "linked.jpg"),
    ],
)
def test_no_output_is_another_one(one: str, other: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(ConfigError) as refused:
        check(one, other, source="gone.mp4")
    assert f"--1 {other} and --0 {one} are one file" in str(refused.value)
    assert sorted(folder.iterdir()) == before


def test_the_older_file_of_lines_is_an_output_too() -> None:
    lines = Output("--output", "a.jsonl", appended=True, rotated=True)
    with pytest.raises(ConfigError, match="are one file"):
        check(lines, Output("--explain", "a.jsonl.1", appended=True, rotated=True))
    Path("a.jsonl.1").write_text("notes")
    with pytest.raises(ConfigError, match="something else"):
        check(lines)


def test_a_device_may_be_shared_and_standard_output_is_nobodys() -> None:
    lines = [Output(f"--{name}", "-", appended=True) for name in ("output", "explain")]
    check("/dev/null", "/dev/null", *lines)


def test_only_lines_go_to_standard_output(folder: Path) -> None:
    """A summary that was to be shown went into a file called "-"."""
    check_outputs([Output("--output", "-", appended=True)], [], overwrite=False)
    with pytest.raises(ConfigError, match="--summary -: only lines go to standard output"):
        check_outputs([Output("--summary", "-")], [], overwrite=False)


def test_what_exists_is_replaced_only_where_that_is_asked_for(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--0 a\.jpg: it exists already; --overwrite"):
        check("a.jpg", source="pictures", overwrite=False)
    check("a.jpg", source="pictures")
    (folder / "empty").touch()
    check("empty", overwrite=False)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pictures", "is a folder"),
        ("gone/a.json", "there is no folder"),
        ("a.jpg/a.json", "there is no folder"),
        ("/proc/a.json", "No such file"),
        ("n" * 300, "too long"),
        ("loop", "symbolic links"),
    ],
)
@pytest.mark.parametrize("appended", [False, True])
def test_what_cannot_be_written_is_known_before(name: str, why: str, appended: bool) -> None:
    with pytest.raises(ConfigError, match=f"--out {name}.*{why}"):
        check(Output("--out", name, appended=appended), source="gone.mp4")


def test_a_check_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(folder.iterdir())
    check("one", Output("--output", "two", appended=True, rotated=True))
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_read_only_files_and_folders(folder: Path) -> None:
    (folder / "a.json").write_text("{}")
    (folder / "a.json").chmod(0o444)
    with pytest.raises(ConfigError, match="write-protected"):
        check("a.json")
    (folder / "pictures").chmod(0o555)
    with pytest.raises(ConfigError, match="Permission denied"):
        check("pictures/new.json")
