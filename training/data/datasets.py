"""FER2013 in the three forms people have it in, as arrays.

* Kaggle's ``fer2013.csv`` (columns emotion, pixels, Usage);
* a folder, or a zip of it, of ``train/<label>/Training_<id>.<ext>`` and
  ``test/<label>/PublicTest_<id>.<ext>``, pictures 48x48 grey as WebP, PNG or JPEG.
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.labels import LABELS

DATA_VARIABLE = "SPLITFER_DATA"
SIDE = 48
# Of Training, for temperatures; never trained on.
HOLDOUT_SHARE = 0.04
CSV_COLUMNS = ("emotion", "pixels", "Usage")
# Kaggle numbers the classes in this order; ours is alphabetical.
KAGGLE_ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_MEMBER = re.compile(
    r"(?:^|/)(?P<label>[a-z]+)/(?P<usage>[A-Za-z]+)_(?P<id>\d+)\.(?:webp|png|jpe?g)$", re.I
)
_TABLE = re.compile(r"(?:^|/)(?:fer2013|icml_face_data)\.(?:csv|tar\.gz)$", re.I)


class DataError(Exception):
    """The data set is missing or is not FER2013 in a form that is read here."""


@dataclass(frozen=True)
class Faces:
    """Pictures and labels of one part of FER2013, ordered by id.

    ``pictures`` uint8 ``(N, 48, 48)``, ``labels`` int64 ``(N,)`` (index into ``LABELS``),
    ``ids`` int64 ``(N,)``.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, chosen: NDArray[np.bool_]) -> Faces:
        """The faces where ``chosen`` ``(N,)`` is true."""
        return Faces(self.pictures[chosen], self.labels[chosen], self.ids[chosen])


def data_path(argument: str | None) -> Path:
    """The data set named on the command line, else by ``SPLITFER_DATA``.

    Raises:
        DataError: neither names one, or it does not exist.
    """
    name = argument or os.environ.get(DATA_VARIABLE)
    if not name:
        raise DataError(f"no data set: pass --data PATH or set {DATA_VARIABLE}")
    path = Path(name)
    if not path.exists():
        raise DataError(f"no data set at {path}")
    return path


def load_fer2013(path: Path, usage: str) -> Faces:
    """One part (``Training``, ``PublicTest``, ``PrivateTest``) of FER2013.

    Raises:
        DataError: the part is not there, or a row or picture is not as FER2013's are.
    """
    try:
        rows = sorted(_rows(path, usage), key=lambda row: row[0])
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror or error}") from error
    if not rows:
        if path.suffix.lower() == ".csv":
            how = f"its column Usage says {usage} nowhere"
        elif table := _table_in(path):
            how = f"it holds {table}: unpack that, and name it"
        else:
            how = (
                f"they are <label>/{usage}_<number>.png (or .jpg, .webp), such as "
                f"happy/{usage}_17.png; labels: {', '.join(LABELS)}"
            )
        raise DataError(f"{path} holds no pictures of {usage}: {how}")
    ids, labels, pictures = zip(*rows, strict=True)
    return Faces(np.stack(pictures), np.asarray(labels), np.asarray(ids))


def split_off(faces: Faces, share: float, seed: int = 0) -> tuple[Faces, Faces]:
    """``(rest, part)``: ``part`` is a fixed random ``share`` of ``faces``."""
    chosen = _drawn(len(faces), share, seed)
    return faces.subset(~chosen), faces.subset(chosen)


def held_out_of(training: Faces) -> NDArray[np.bool_]:
    """Which faces of Training are never trained on, bool ``(N,)``: those of ``split_off``."""
    return _drawn(len(training), HOLDOUT_SHARE, 0)


def _drawn(n: int, share: float, seed: int) -> NDArray[np.bool_]:
    return np.asarray(np.random.default_rng(seed).random(n) < share)


_Row = tuple[int, int, NDArray[np.uint8]]


def _rows(path: Path, usage: str) -> Iterator[_Row]:
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(path, usage)
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if found := _member(name, usage):
                        yield (*found, _picture(archive.read(name), name))
        except (zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}") from error
        except (RuntimeError, NotImplementedError) as error:  # a password, another packing
            raise DataError(f"{path} cannot be unpacked: {error}") from error
    elif path.is_dir():
        for file in path.rglob("*_*.*"):
            if found := _member(file.as_posix(), usage):
                yield (*found, _picture(file.read_bytes(), str(file)))
    else:
        raise DataError(f"{path} is neither a .csv, a .zip nor a folder")


def _table_in(path: Path) -> str | None:
    """A csv of pictures in a folder or zip, as Kaggle gives it out; None where there is none."""
    if path.is_dir():
        names = [file.name for file in path.iterdir()]
    else:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    return next((name for name in sorted(names) if _TABLE.search(name)), None)


def _member(name: str, usage: str) -> tuple[int, int] | None:
    """``(id, label index)`` of a picture's file name, or None where it is not of ``usage``."""
    found = _MEMBER.search(name)
    if found is None or found["usage"] != usage:
        return None
    if found["label"].lower() not in LABELS:
        raise DataError(f"{name}: the folder is none of {', '.join(LABELS)}")
    return int(found["id"]), LABELS.index(found["label"].lower())


def _picture(data: bytes, name: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} is not a picture: {error}") from error
    if pixels.shape != (SIDE, SIDE):
        raise DataError(f"{name} is {pixels.shape[1]}x{pixels.shape[0]}, not {SIDE}x{SIDE}")
    return pixels


def _csv_rows(path: Path, usage: str) -> Iterator[_Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in _lines(path, file):
            if row["Usage"] != usage:
                continue
            try:
                label = LABELS.index(KAGGLE_ORDER[_index(row["emotion"])])
                pixels = np.array([int(p) for p in row["pixels"].split()], dtype=np.uint8)
            except (ValueError, OverflowError, AttributeError, TypeError) as error:
                raise DataError(f"{path}, row {number}: {error}") from error
            if pixels.size != SIDE * SIDE:
                raise DataError(f"{path}, row {number}: {pixels.size} pixels, not {SIDE * SIDE}")
            yield number, label, pixels.reshape(SIDE, SIDE)


def _lines(path: Path, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        # Kaggle's icml_face_data.csv has a space before each name.
        reader = csv.DictReader(file, skipinitialspace=True)
        if absent := [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]:
            raise DataError(
                f"{path} has no column {', '.join(absent)}: its first line is "
                f"{','.join(CSV_COLUMNS)}, as in Kaggle's fer2013.csv"
            )
        yield from enumerate(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a csv of pictures: {error}") from error


def _index(emotion: str) -> int:
    """Kaggle's number of a class; a negative one would quietly count from the end."""
    number = int(emotion)
    if not 0 <= number < len(KAGGLE_ORDER):
        raise ValueError(f"emotion {number} is not in 0..{len(KAGGLE_ORDER) - 1}")
    return number
