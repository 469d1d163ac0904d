"""The settings of several cameras."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.commands.doctor import Verdict, findings
from splitfer.edge_client.config import load_config
from splitfer.shared.errors import ConfigError
from splitfer.shared.settings import printable

TWO = """
search_side_px = 320
max_fps = 10
[[cameras]]
source = 0
source_name = "Front door"
max_fps = 3
masks = [[[0, 0], [0.5, 1]]]
[[cameras]]
source = "rtsp://me:pass-word@garden/stream"
source_name = "garden"
purpose = "count visitors"
"""


def load(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "cameras.toml"
    path.write_text(text)
    return load_config(path, {})


def test_each_has_its_own_over_what_is_common(tmp_path: Path) -> None:
    config = load(tmp_path, TWO)
    door, garden = config.each_camera()
    assert (door.source, door.source_name, door.max_fps) == ("0", "Front door", 3)
    assert door.masks == (((0, 0), (0.5, 1)),)
    assert (garden.max_fps, garden.masks, garden.purpose) == (10, (), "count visitors")
    assert door.search_side_px == garden.search_side_px == 320
    assert not door.cameras


def test_what_is_printed_holds_no_password(tmp_path: Path) -> None:
    printed = printable(load(tmp_path, TWO))
    assert "pass-word" not in printed
    assert "cameras" in printed


def test_a_file_counts_from_the_settings_folder(tmp_path: Path) -> None:
    text = '[[cameras]]\nsource = "a.mp4"\nsource_name = "a"\n'
    (camera,) = load(tmp_path, text).each_camera()
    assert camera.source == str(tmp_path / "a.mp4")


CAMERA = '[[cameras]]\nsource = "demo"\nsource_name = "a"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[cameras]]\nsource = "demo"\n', "camera 1: name its source and its source_name"),
        ('[[cameras]]\nsource_name = "a"\n', "camera 1: name its source and its source_name"),
        (CAMERA + CAMERA, "camera 2: another one is called a too"),
        (CAMERA + CAMERA.replace('"a"', '"A!"'), "camera 2: another one is called A! too"),
        (CAMERA + "max_fps = 0\n", "camera 1: max_fps: "),
        (CAMERA + 'server = "x:1"\n', "camera 1: server is "),
        (CAMERA + "max_fsp = 3\n", "camera 1: max_fsp is "),
        ('source = "demo"\n' + CAMERA, "source and source_name"),
        ("view = true\n" + CAMERA, "view shows one camera"),
        ('outbox = "x.db"\n' + CAMERA, "outbox"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(tmp_path, text)


def test_the_doctor_looks_at_each(tmp_path: Path) -> None:
    text = CAMERA + CAMERA.replace('"a"', '"b"').replace("demo", "none.mp4")
    found = [one for one in findings(load(tmp_path, text)) if one.name.startswith("camera")]
    assert [(one.name, one.verdict) for one in found] == [
        ("camera a", Verdict.GOOD),
        ("camera b", Verdict.BAD),
    ]
