"""The edge's settings: one reading of them for ``run``, ``classify`` and ``Recognizer``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from splitfer import Recognizer
from splitfer.edge_client.config import EdgeConfig, load_config, program_config
from splitfer.shared.errors import ConfigError
from splitfer.shared.settings import printable


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SPLITFER_"):
            monkeypatch.delenv(name)


def run() -> EdgeConfig:
    return load_config(None, {})


def classify() -> EdgeConfig:
    return load_config(None, {}, single_pictures=True)


def program() -> EdgeConfig:
    return program_config({"server": None})


READERS = pytest.mark.parametrize("read", [run, classify, program])


@READERS
def test_a_variable_holds_for_each(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_EDGE_DEADLINE_MS", "77")
    monkeypatch.setenv("SPLITFER_EDGE_PICTURE_PIXELS", "5000")
    assert (read().deadline_ms, read().picture_pixels) == (77, 5000)


@READERS
@pytest.mark.parametrize(
    ("variable", "value"),
    [("DEADLINE_MS", "soon"), ("DEADLINE_MS", "-1"), ("THREADS", "1000000"), ("SEVER", "a:1")],
)
def test_nonsense_is_refused_by_each(
    read: Any, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SPLITFER_EDGE_{variable}", value)
    with pytest.raises(ConfigError, match=f"SPLITFER_EDGE_{variable}"):
        read()


def test_single_pictures_have_a_longer_deadline_unless_one_is_set(tmp_path: Path) -> None:
    assert [read().deadline_ms for read in (run, classify, program)] == [150, 5000, 5000]
    file = tmp_path / "edge.yaml"
    file.write_text("deadline_ms: 300\n")
    assert load_config(file, {}, single_pictures=True).deadline_ms == 300
    assert program_config({"deadline_ms": 400}).deadline_ms == 400


@pytest.mark.parametrize(
    "settings",
    [
        {"source": "0"},
        {"output": "a.jsonl"},
        {"output_max_mb": 1},
        {"log_level": "info"},
        {"masks": [[[0, 0], [1, 1]]]},
        {"privacy": "aggregate"},
        {"blur_faces": True},
        {"mqtt": "broker.local"},
        {"weights_key": "key.pem"},
    ],
)
def test_a_program_is_told_which_settings_are_not_for_it(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(settings))}: .*not for a program"):
        Recognizer(**settings)


def test_commands_variables_do_not_disturb_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_EDGE_SOURCE", "0")
    assert program().source == "0"


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("door.mp4", "/etc/door.mp4"),
        ("/srv/door.mp4", "/srv/door.mp4"),
        ("0", "0"),
        ("demo*2", "demo*2"),
        ("/dev/video1", "/dev/video1"),
        ("rtsp://camera/door", "rtsp://camera/door"),
    ],
)
def test_source_and_output_may_stand_in_the_file(source: str, read: str, tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(f"source: {source}\noutput: answers.jsonl\nserver_ca: ca.pem\n")
    config = load_config(file, {})
    assert config.source == read.replace("/etc/", f"{tmp_path}/")
    assert config.output == f"{tmp_path}/answers.jsonl"
    assert config.server_ca == tmp_path / "ca.pem"
    file.write_text("output: '-'\n")
    assert load_config(file, {}).output == "-"
    assert load_config(file, {"output": "a.jsonl", "source": "b"}).output == "a.jsonl"


@pytest.mark.parametrize("key", ["source", "output", "weights", "server_ca"])
def test_an_empty_name_is_not_the_working_directory(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--{key.replace('_', '-')}: it is empty"):
        load_config(None, {key: ""})
    file = tmp_path / "edge.yaml"
    file.write_text(f"{key}: ''\n")
    with pytest.raises(ConfigError, match=rf"edge.yaml: {key}: it is empty"):
        load_config(file, {})


@pytest.mark.parametrize(
    "source", ["rtsp://me:s3cret@camera/door", "http://camera/door?password=s3cret"]
)
def test_what_is_printed_holds_no_secret(source: str) -> None:
    flags = {"source": source, "token": "s3cret", "output": "a.jsonl"}
    text = printable(load_config(None, flags))
    assert "s3cret" not in text
    assert text.startswith("# Set, and left out since it holds a secret: source, token\n")
    printed = yaml.safe_load(text)
    assert not {"source", "token"} & set(printed)
    assert printed["output"] == os.path.abspath("a.jsonl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("masks: [[[0, 0], [2, 2]]]", "masks.0.1.0: Input should be less"),
        ("threads: []", "threads: "),
    ],
)
def test_what_is_wrong_within_a_setting_is_named_with_its_file(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "camera.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(file, {})
    assert str(error.value).startswith(f"{file}: {said}")


def test_a_file_in_another_encoding_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    file.write_bytes("purpose: für Gäste".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"camera.yaml: a config file is text in UTF-8"):
        load_config(file, {})


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"polcy": "local"}, "unknown key polcy among the keywords; did you mean policy?"),
        ({"deadline_ms": "soon"}, "deadline_ms: Input should be a valid number"),
    ],
)
def test_a_program_is_told_of_keywords_not_of_flags(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        program_config(keywords)
    assert str(error.value).startswith(said)
