"""What measures and draws destroys nothing that it was not told to replace."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.common.command import USAGE, finish
from benchmarks.demo.demo import DemoFailed, make_room
from benchmarks.serving.scaling import BEGIN, END, around
from splitfer.shared.errors import ConfigError
from training.study.figure_file import figure_path, save_figure


@pytest.mark.parametrize("flag", ["data", "weights", "against"])
def test_a_figure_goes_into_nothing_that_is_read(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = argparse.Namespace(json=True, plot=tmp_path / "a.png", **{flag: tmp_path})
    assert finish(arguments, lambda _: pytest.fail("it was measured"), str) == USAGE
    assert f"--{flag} {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fer2013.zip", "plot", "gone/plot.png", "folder.png"])
def test_where_no_figure_can_go_is_known_before(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(argparse.ArgumentTypeError, match=name):
        figure_path(str(tmp_path / name))


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG")])
def test_a_figure_is_what_its_ending_says(name: str, kind: str, tmp_path: Path) -> None:
    save_figure(Figure(), figure_path(str(tmp_path / name)), dpi=20)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind
    assert len(list(tmp_path.iterdir())) == 1


def test_a_page_without_the_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for text in ("words", f"words {BEGIN} words", f"{END} {BEGIN}"):
        page.write_text(text)
        with pytest.raises(ConfigError, match=r"--write .*page\.md"):
            around(page)
    page.write_text(f"before{BEGIN}old{END}after")
    assert around(page) == ("before", "after")
    with pytest.raises(ConfigError, match="No such file"):
        around(tmp_path / "gone.md")


def test_a_demo_takes_away_only_what_a_demo_left(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(DemoFailed, match=r"summary\.json"):
        make_room(tmp_path)
    assert (tmp_path / "summary.json").read_text() == "mine"
    for name in ("server.log", "annotated.mp4", "notes"):
        (tmp_path / name).write_text("a demo's")
    make_room(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
