from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.edge_client.sinks.annotate import PATH_COLOURS, Canvas, annotate
from splitfer.edge_client.sinks.contact_sheet import COLUMNS, TILES, ContactSheet
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import AnswerPath, FaceAnswer, Reason
from splitfer.shared.errors import ConfigError
from tests.unit.edge_client.answers import face, frame


def shown(sheet: ContactSheet) -> list[int]:
    """The frames that the sheet would show, in order."""
    return [kept.frame.index for kept in sheet._chosen()]


@pytest.mark.parametrize("count", [1, 3, 16, 17, 33, 200, 1001])
def test_the_tiles_are_spread_evenly_over_a_run_of_any_length(tmp_path: Path, count: int) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png")
    for index in range(count):
        sheet.write(frame(index, size=(16, 12)), [])
        assert len(sheet._spread) <= 2 * TILES
    places = shown(sheet)
    assert len(places) == min(count, TILES)
    steps = np.diff([-1, *places, count])
    assert max(steps) <= 2 * count / len(places) + 1
    assert min(steps) >= 1


def test_each_path_and_reason_that_occurred_is_shown(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png")
    rare = {
        101: face(AnswerPath.LOCAL, Reason.LINK_DOWN),
        103: face(AnswerPath.LOCAL, Reason.DEADLINE),
        399: face(AnswerPath.IMAGE),
    }
    for index in range(500):
        sheet.write(frame(index, size=(16, 12)), [rare.get(index, face())])
    places = shown(sheet)
    assert set(rare) <= set(places)
    assert len(places) == TILES
    assert places == sorted(places)


def test_more_kinds_than_tiles_still_make_a_sheet(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png", tiles=3)
    for index, reason in enumerate(Reason):
        sheet.write(frame(index), [face(AnswerPath.LOCAL, reason)])
    assert len(shown(sheet)) == 3


def test_the_sheet_is_a_picture_of_rows_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    sheet = ContactSheet(path)
    for index in range(40):
        sheet.write(frame(index, size=(1280, 960)), [face(box=(400, 300, 300, 300))])
    sheet.close()
    sheet.close()
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] // COLUMNS > 300
    assert pixels.shape[0] > pixels.shape[1] // 2
    blue = (pixels == np.array(PATH_COLOURS[AnswerPath.CLOUD], np.uint8)).all(axis=2)
    quarters = [
        part.any() for rows in np.array_split(blue, 4) for part in np.array_split(rows, 4, 1)
    ]
    assert all(quarters)


def test_nothing_is_drawn_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def watched(kept: Frame, faces: Sequence[FaceAnswer], canvas: Canvas) -> NDArray[np.uint8]:
        drawn.append(kept.index)
        return annotate(kept, faces, canvas)

    monkeypatch.setattr("splitfer.edge_client.sinks.contact_sheet.annotate", watched)
    sheet = ContactSheet(tmp_path / "sheet.png")
    for index in range(100):
        sheet.write(frame(index), [face()])
    assert drawn == []
    sheet.close()
    assert len(drawn) == TILES


def test_a_run_without_frames_leaves_no_file(tmp_path: Path) -> None:
    ContactSheet(tmp_path / "sheet.png").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("s.png", "PNG"), ("s.jpg", "JPEG"), ("s.JPEG", "JPEG"), ("s.webp", "WEBP")],
)
def test_the_ending_says_the_format(tmp_path: Path, name: str, kind: str) -> None:
    sheet = ContactSheet(tmp_path / name)
    sheet.write(frame(), [face()])
    sheet.close()
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind
        picture.load()


@pytest.mark.parametrize("name", ["sheet.gif", "sheet"])
def test_an_ending_without_a_format_is_refused_with_the_list(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"--contact-sheet .*\.png, \.jpg, \.jpeg, \.webp"):
        ContactSheet(tmp_path / name)


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png")
    sheet.write(frame(), [face()])
    assert list(tmp_path.iterdir()) == []
    sheet.close()
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_one_that_somebody_else_wrote_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    sheet = ContactSheet(path)
    sheet.write(frame(), [face()])
    path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        sheet.close()
    assert path.read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_sheet_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "nowhere" / "sheet.png")
    sheet.write(frame(), [face()])
    with pytest.raises(FileNotFoundError):
        sheet.close()
