"""What the edge's outputs are after a run of the real process, however it ended."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests import loaded
from tests.loaded import run_loaded
from tests.processes import Edge, wait_until

CLIP = Path(str(resources.files("splitfer.edge_client.assets").joinpath("demo.mp4")))
WITHOUT_OURS = {k: v for k, v in os.environ.items() if not k.startswith("SPLITFER_")}
EDGE = (sys.executable, "-m", "splitfer.edge_client.cli")


def edge(*arguments: str, inside: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    if not inside:
        return run_loaded(loaded.EDGE, *arguments, environment=WITHOUT_OURS, timeout_s=100)
    return subprocess.run(
        [*inside, *EDGE, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env=WITHOUT_OURS,
    )


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def records(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [one for one in found if one["record"] != "event"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four frames of the clip."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    with av.open(str(CLIP)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            if index % 8 == 0 and 60 <= index < 90:
                picture.to_image().save(folder / f"{index}.jpg")
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> list[str]:
    """Flags of every output that is one file at the end."""
    return [
        "--annotate",
        str(tmp_path / "video.mp4"),
        "--contact-sheet",
        str(tmp_path / "sheet.jpg"),
        "--summary",
        str(tmp_path / "summary.json"),
    ]


@pytest.mark.parametrize("flag", ["--annotate", "--output", "--explain", "--summary"])
def test_a_source_is_not_written_over(flag: str, tmp_path: Path, weights_folder: Path) -> None:
    video = tmp_path / "same.mp4"
    shutil.copyfile(CLIP, video)
    (tmp_path / "link.mp4").symlink_to(video)
    done = edge(
        "run",
        "--source",
        str(video),
        flag,
        str(tmp_path / "link.mp4"),
        "--weights",
        str(weights_folder),
        "--overwrite",
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert flag in line
    assert f"--source {video}" in line
    assert video.read_bytes() == CLIP.read_bytes()


def test_nor_a_picture_nor_weights_nor_settings(
    pictures: Path, tmp_path: Path, weights_folder: Path
) -> None:
    picture = sorted(pictures.iterdir())[0]
    config = tmp_path / "edge.toml"
    config.write_text("threads = 1\n")
    before = [picture.read_bytes(), (weights_folder / "manifest.json").read_bytes()]
    run = ("run", "--source", str(pictures), "--weights", str(weights_folder), "--overwrite")
    for arguments in (
        ("classify", str(picture), "--output", str(picture)),
        (*run, "--contact-sheet", str(picture)),
        (*run, "--summary", str(weights_folder / "manifest.json")),
        (*run, "--config", str(config), "--summary", str(config)),
    ):
        done = edge(*arguments)
        assert done.returncode == 2, done.stderr
        assert "is also read, as" in done.stderr
    assert before == [picture.read_bytes(), (weights_folder / "manifest.json").read_bytes()]
    assert config.read_text() == "threads = 1\n"


def test_the_shell_may_not_redirect_to_an_input_either(
    tmp_path: Path, weights_folder: Path
) -> None:
    video = tmp_path / "same.mp4"
    shutil.copyfile(CLIP, video)
    command = [*EDGE, "run", "--source", str(video), "--weights", str(weights_folder)]
    with video.open("ab") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=100, env=WITHOUT_OURS
        )
    assert done.returncode == 2
    assert "standard output is also read" in done.stderr
    assert video.read_bytes() == CLIP.read_bytes()


def test_a_second_run_loses_nothing_of_the_first(
    pictures: Path, outputs: list[str], tmp_path: Path, weights_folder: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    run = ("run", "--source", str(pictures), "--output", str(answers),
           "--weights", str(weights_folder), *outputs)  # fmt: skip
    assert edge(*run).returncode == 0
    whole = [Path(outputs[index]) for index in (1, 3, 5)]
    before = [path.read_bytes() for path in whole]
    assert frames_of(whole[0]) == 4
    with Image.open(whole[1]) as sheet:
        assert sheet.format == "JPEG"
    assert json.loads(before[2])["output_failures"] == {}
    first = records(answers)
    assert {one["frame"] for one in first} == {0, 1, 2, 3}

    again = edge(*run)
    assert again.returncode == 2
    assert "exists already; --overwrite" in again.stderr
    assert [path.read_bytes() for path in whole] == before
    assert records(answers) == first

    with answers.open("a") as file:  # as a kill may leave it
        file.write('{"source": "half')
    assert edge(*run, "--overwrite").returncode == 0
    assert records(answers)[: len(first)] == first
    assert len(records(answers)) == 2 * len(first)
    assert frames_of(whole[0]) == 4

    edge(
        "classify",
        *map(str, pictures.iterdir()),
        "--output",
        str(answers),
        "--weights",
        str(weights_folder),
        "--output-max-mb",
        "0.003",
    )
    assert records(answers.with_name("answers.jsonl.1"))
    assert answers.stat().st_size <= 3000
    assert records(answers)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
def test_killed_at_any_moment_every_output_is_readable_or_not_there(
    name: str, tmp_path: Path, weights_folder: Path
) -> None:
    video, sheet = tmp_path / name, tmp_path / "sheet.png"
    flags = ("--annotate", str(video), "--contact-sheet", str(sheet), "--realtime")
    with Edge(tmp_path, weights_folder, *flags, source="demo*60") as running:
        wait_until(video.exists, "the video's beginning")
        size = video.stat().st_size
        wait_until(lambda: video.stat().st_size > size, "more of the video")
        running.wait_for(lambda answers: len(answers) > 5, "answers")
        running.signal(signal.SIGKILL)
    last_s = records(running.answers_file)[-1]["time_s"]
    with av.open(str(video)) as container:
        times_s = [picture.time for picture in container.decode(video=0)]
    assert times_s == sorted(times_s)
    assert times_s[-1] > last_s - 4
    assert not sheet.exists()
    assert not running.summary_file.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "answers.jsonl",
        "edge.log",
        name,
    ]


def test_a_terminal_that_closes_leaves_whole_outputs(
    outputs: list[str], tmp_path: Path, weights_folder: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    terminal, its_end = pty.openpty()
    command = [
        "setsid", "--ctty", *EDGE, "run", "--source", "demo*60", "--realtime",
        "--weights", str(weights_folder), "--output", str(answers), *outputs,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=its_end, stdout=its_end, stderr=its_end, env=WITHOUT_OURS
    ) as running:
        os.close(its_end)
        try:
            wait_until(lambda: answers.exists() and answers.stat().st_size > 5000, "answers")
            os.close(terminal)  # which sends SIGHUP, and takes the progress line away
            assert running.wait(60) == 130
        finally:
            running.kill()
    video, sheet, summary = (Path(outputs[index]) for index in (1, 3, 5))
    figures = json.loads(summary.read_text())
    assert figures["faces"] == len(records(answers))
    with Image.open(sheet) as picture:
        picture.load()
    assert frames_of(video) == figures["frames"] - figures["dropped_frames"]


def test_nohup_goes_on(tmp_path: Path, weights_folder: Path) -> None:
    with Edge(tmp_path, weights_folder, inside=("nohup",), source="demo*60") as running:
        running.wait_for(lambda answers: len(answers) > 2, "answers")
        running.signal(signal.SIGHUP)
        now = len(running.answers())
        running.wait_for(lambda answers: len(answers) > now + 20, "more answers")
        running.signal(signal.SIGTERM)
        assert running.finish()[0] == 130


@pytest.mark.parametrize(
    ("flag", "name", "why"),
    [
        ("--output", "gone/a.jsonl", "there is no folder"),
        ("--explain", "pictures", "is a folder"),
        ("--annotate", "gone/a.mp4", "there is no folder"),
        ("--annotate", "a.avi", ".mp4, .mov, .mkv"),
        ("--contact-sheet", "gone/a.png", "there is no folder"),
        ("--contact-sheet", "a.gif", ".png, .jpg, .jpeg, .webp"),
        ("--summary", "gone/a.json", "there is no folder"),
        ("--summary", "pictures", "is a folder"),
        ("--summary", "/proc/a.json", "No such file"),
        ("--summary", "n" * 300, "too long"),
        ("--annotate", "n" * 300 + ".mp4", "too long"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_source_is_opened(
    flag: str, name: str, why: str, pictures: Path, tmp_path: Path
) -> None:
    target = str(tmp_path / name)
    done = edge("run", "--source", "no-such-file.mp4", flag, target)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"edge-client: {flag} {target}")
    assert why in line
    assert sorted(tmp_path.iterdir()) == [pictures]


@pytest.mark.parametrize("flag", ["--output", "--summary"])
def test_a_full_disk_does_not_stop_the_other_outputs(
    flag: str, pictures: Path, tmp_path: Path, weights_folder: Path
) -> None:
    other = {"--output": "--summary", "--summary": "--output"}[flag]
    done = edge(
        "run",
        "--source",
        str(pictures),
        "--weights",
        str(weights_folder),
        flag,
        "/dev/full",
        other,
        str(tmp_path / "other"),
    )
    assert done.returncode == 1
    assert done.stderr.count("No space left on device") == 1
    assert f"{flag}: No space" in done.stderr
    assert "Traceback" not in done.stderr
    if flag == "--output":
        summary = json.loads((tmp_path / "other").read_text())
        assert summary["output_failures"] == {"output": 4}
    else:
        assert {one["frame"] for one in records(tmp_path / "other")} == {0, 1, 2, 3}


@pytest.mark.parametrize("command", ["run", "classify"])
def test_a_full_disk_behind_standard_output(
    command: str, pictures: Path, weights_folder: Path
) -> None:
    source = ["--source", str(pictures)] if command == "run" else [str(next(pictures.iterdir()))]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*EDGE, command, *source, "--weights", str(weights_folder)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=100,
            env=WITHOUT_OURS,
        )
    assert done.returncode == 1
    assert done.stderr.count("No space left on device") == 1
    assert "Exception" not in done.stderr


def test_a_reader_that_leaves_ends_the_run(weights_folder: Path) -> None:
    command = [*EDGE, "run", "--source", "demo*60", "--weights", str(weights_folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=WITHOUT_OURS
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        json.loads(running.stdout.readline())
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == 130
    assert "Broken pipe" not in said
    assert "Exception" not in said


def test_a_disk_that_fills_up_during_the_run(tmp_path: Path, weights_folder: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    # A small disk that no other process sees; what is on it is copied at the end.
    script = (
        'mount -t tmpfs -o size=200k tmpfs "$0" && "$@"; code=$?; cp -a "$0"/. "$KEPT"; exit $code'
    )
    mounted = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if not shutil.which("unshare") or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("no mount namespaces for this user")
    done = subprocess.run(
        [
            "unshare", "--mount", "sh", "-c", script, str(disk),
            *EDGE, "run", "--source", "demo", "--weights", str(weights_folder),
            "--output", str(disk / "answers.jsonl"), "--annotate", str(disk / "video.mp4"),
            "--contact-sheet", str(disk / "sheet.png"), "--explain", str(tmp_path / "why.jsonl"),
            "--summary", str(tmp_path / "summary.json"),
        ],
        capture_output=True, text=True, timeout=100, env=WITHOUT_OURS | {"KEPT": str(kept)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    failures = json.loads((tmp_path / "summary.json").read_text())["output_failures"]
    assert failures["annotate"] > 1
    assert failures["output"] > 1
    assert failures["contact-sheet"] == 1
    assert done.stderr.count("No space left on device") == 3
    assert 0 < frames_of(kept / "video.mp4") < 168
    assert records(kept / "answers.jsonl")
    assert sorted(path.name for path in kept.iterdir()) == ["answers.jsonl", "video.mp4"]
