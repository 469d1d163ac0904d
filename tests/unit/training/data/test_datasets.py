from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from splitfer.shared.labels import LABELS
from tests.unit.training.faces import made_faces, members, write_csv, write_folder, write_zip
from training.data.datasets import (
    DATA_VARIABLE,
    KAGGLE_ORDER,
    DataError,
    Faces,
    data_path,
    load_fer2013,
    split_off,
)

PARTS = {"Training": made_faces(12), "PublicTest": made_faces(7, 1, first_id=12)}


def assert_same(got: Faces, expected: Faces, tolerance: float = 0) -> None:
    assert (got.pictures.dtype, got.pictures.shape) == (np.uint8, expected.pictures.shape)
    np.testing.assert_array_equal(got.labels, expected.labels)
    np.testing.assert_array_equal(got.ids, expected.ids)
    off = np.abs(got.pictures.astype(int) - expected.pictures.astype(int))
    assert off.mean() <= tolerance


@pytest.mark.parametrize("usage", PARTS)
def test_every_form_gives_the_same_faces(tmp_path: Path, usage: str) -> None:
    write_csv(tmp_path / "fer2013.csv", PARTS)
    write_zip(tmp_path / "fer2013.zip", members(PARTS))
    write_zip(tmp_path / "nested.zip", {f"a b/{k}": v for k, v in members(PARTS).items()})
    for name in ("fer2013.csv", "fer2013.zip", "nested.zip"):
        assert_same(load_fer2013(tmp_path / name, usage), PARTS[usage])
    for kind, tolerance in (("webp", 0), ("png", 0), ("jpg", 20)):
        write_folder(tmp_path / kind, members(PARTS, kind))
        assert_same(load_fer2013(tmp_path / kind, usage), PARTS[usage], tolerance)


def test_the_endings_case_does_not_matter(tmp_path: Path) -> None:
    write_csv(tmp_path / "FER2013.CSV", PARTS)
    write_zip(tmp_path / "FER2013.ZIP", members(PARTS))
    for name in ("FER2013.CSV", "FER2013.ZIP"):
        assert_same(load_fer2013(tmp_path / name, "Training"), PARTS["Training"])


def test_kaggles_csv_in_a_zip_or_folder_is_pointed_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "icml_face_data.csv", PARTS)
    write_zip(
        tmp_path / "challenge.zip",
        {"readme.csv": b"", "fer/fer2013.tar.gz": b"", "icml_face_data.csv": b"emotion"},
    )
    with pytest.raises(DataError, match=r"it holds fer/fer2013\.tar\.gz: unpack that"):
        load_fer2013(tmp_path / "challenge.zip", "Training")
    with pytest.raises(DataError, match=r"it holds icml_face_data\.csv: unpack that, and name it"):
        load_fer2013(tmp_path, "Training")


def test_kaggles_class_numbers() -> None:
    # 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral
    assert KAGGLE_ORDER[4] == "sad"
    assert KAGGLE_ORDER[6] == "neutral"
    assert sorted(KAGGLE_ORDER) == list(LABELS)


def test_the_labels_order_is_not_kaggles(tmp_path: Path) -> None:
    row = " ".join(["7"] * 48 * 48)
    (tmp_path / "a.csv").write_text(f"emotion,pixels,Usage\n6,{row},Training\n")
    assert LABELS[load_fer2013(tmp_path / "a.csv", "Training").labels[0]] == "neutral"


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    write_zip(tmp_path / "fer2013.zip", members(PARTS))
    with pytest.raises(DataError, match=r"no pictures of PrivateTest: .*PrivateTest_17\.png"):
        load_fer2013(tmp_path / "fer2013.zip", "PrivateTest")
    write_csv(tmp_path / "fer2013.csv", PARTS)
    with pytest.raises(DataError, match="Usage says PrivateTest nowhere"):
        load_fer2013(tmp_path / "fer2013.csv", "PrivateTest")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,1 2 3,Training", "row 0: 3 pixels, not 2304"),
        ("0,,Training", "row 0: 0 pixels"),
        ("7,1,Training", "row 0: emotion 7"),
        ("-1,1,Training", "row 0: emotion -1"),
        ("x,1,Training", "row 0"),
        ("0,1 x,Training", "row 0"),
        ("0,300,Training", "row 0"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(f"emotion,pixels,Usage\n{row}\n")
    with pytest.raises(DataError, match=message):
        load_fer2013(tmp_path / "a.csv", "Training")


def test_another_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column emotion, pixels, Usage: its first line is"):
        load_fer2013(tmp_path / "a.csv", "Training")


def test_a_csv_as_spreadsheets_and_kaggles_second_file_have_it(tmp_path: Path) -> None:
    plain, again = tmp_path / "plain.csv", tmp_path / "again.csv"
    write_csv(plain, PARTS)
    text = plain.read_text()
    again.write_text("\ufeff" + text.replace(",", ", ").replace("\n", "\r\n"))
    assert_same(load_fer2013(again, "Training"), PARTS["Training"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("emotion,pixels,Usage\n0,1,Training\n".encode("utf-16"), "is not a csv of pictures"),
        (b'emotion,pixels,Usage\n"' + b"1 " * 100_000, "is not a csv of pictures"),
    ],
)
def test_what_is_no_csv(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_fer2013(tmp_path / "a.csv", "Training")


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv: Is a directory"):
        load_fer2013(tmp_path / "a.csv", "Training")


def test_another_size_is_named(tmp_path: Path) -> None:
    large = Faces(np.zeros((1, 64, 48), np.uint8), np.array([0]), np.array([5]))
    write_zip(tmp_path / "a.zip", members({"Training": large}))
    with pytest.raises(DataError, match=r"Training_5\.webp is 48x64, not 48x48"):
        load_fer2013(tmp_path / "a.zip", "Training")


def test_another_class_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"train/bored/Training_1.png": b""})
    with pytest.raises(DataError, match=r"bored.*none of angry"):
        load_fer2013(tmp_path / "a.zip", "Training")


def test_damaged_files(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"train/sad/Training_1.png": b"not a picture"})
    with pytest.raises(DataError, match=r"Training_1\.png is not a picture"):
        load_fer2013(tmp_path / "a.zip", "Training")
    (tmp_path / "b.zip").write_bytes(b"PK but not for long")
    with pytest.raises(DataError, match="damaged"):
        load_fer2013(tmp_path / "b.zip", "Training")


def test_neither_csv_nor_zip_nor_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="neither"):
        load_fer2013(tmp_path / "a.txt", "Training")


def test_where_the_data_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(DataError, match="pass --data PATH or set SPLITFER_DATA"):
        data_path(None)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert data_path(None) == tmp_path
    with pytest.raises(DataError, match="no data set at"):
        data_path(str(tmp_path / "none"))


def test_split_off_is_the_same_every_time_and_loses_nothing() -> None:
    faces = made_faces(1000)
    rest, part = split_off(faces, 0.04)
    assert_same(split_off(faces, 0.04)[1], part)
    assert 20 <= len(part) <= 60
    assert sorted([*rest.ids, *part.ids]) == list(range(1000))
    assert set(split_off(faces, 0.04, seed=1)[1].ids) != set(part.ids)
