"""CK+ (Lucey et al., 2010) in the forms people have it in, which cannot be shipped.

``--data ckplus:PATH``, where PATH is

* a folder of folders, one per label (``anger/S010_004_00000017.png``), the subject first in a
  picture's name;
* ``CK_data.h5``: ``data_pixel`` ``(N, 48, 48)`` and ``data_label`` ``(N,)``, numbers in the order
  of ``CKPLUS_LABELS``. It does not say whose picture is whose, unless it has ``data_subject`` too;
* an ``.npz`` of ``pictures`` ``(N, 48, 48)``, ``labels`` (numbers or names) and ``subjects``.

Published figures of CK+ differ by how it was split. Where the people of the test are also in the
training, the last frames of one and the same sequence stand on both sides, and nearly all are
recognised: ``image_folds``. ``subject_folds`` keeps people apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.datasets import SIDE, DataError

SCHEME = "ckplus:"
# Seven, as FER2013 has, but with contempt in the place of neutral.
CKPLUS_LABELS = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "contempt")
_SYNONYMS = {"angry": "anger", "happiness": "happy", "sad": "sadness", "surprised": "surprise"}
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tiff", ".bmp"}


@dataclass(frozen=True)
class CKPlus:
    """``pictures`` uint8 ``(N, 48, 48)``, ``labels`` int64 ``(N,)`` (index into
    ``CKPLUS_LABELS``), and whose they are: ``subjects`` ``(N,)``; None where nobody says."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    subjects: NDArray[np.str_] | None

    def __len__(self) -> int:
        return len(self.labels)


def is_ckplus(data: str) -> bool:
    """Whether a ``--data`` names CK+."""
    return data.startswith(SCHEME)


def load_ckplus(data: str) -> CKPlus:
    """What ``ckplus:PATH`` names.

    Raises:
        DataError: it is not there, or not as it should be; the message says what is wrong.
    """
    path = Path(data.removeprefix(SCHEME))
    if not is_ckplus(data) or not data.removeprefix(SCHEME):
        raise DataError(f"--data {data}: CK+ is named as {SCHEME}PATH")
    if not path.exists():
        raise DataError(f"no data set at {path}")
    if path.is_dir():
        return _of_folder(path)
    if path.suffix in (".h5", ".hdf5"):
        return _of_h5(path)
    if path.suffix == ".npz":
        return _of_arrays(path)
    raise DataError(f"{path} is neither a folder of folders, an .h5 nor an .npz file")


def subject_folds(subjects: NDArray[np.str_] | None, folds: int) -> Iterator[NDArray[np.bool_]]:
    """Which pictures are tested in each fold, bool ``(N,)``: people in the order of their names go
    to the folds by turns, so that nobody is in two.

    Raises:
        DataError: nobody says whose pictures they are, or there are fewer people than folds.
    """
    if subjects is None:
        raise DataError(
            "these data do not say whose pictures they are (data_subject, or S010_... in the "
            "names): only --split images is possible"
        )
    people, who = np.unique(subjects, return_inverse=True)
    if len(people) < folds:
        raise DataError(f"{len(people)} people cannot be split into {folds} folds")
    for fold in range(folds):
        yield np.asarray(who % folds == fold)


def image_folds(labels: NDArray[np.int64], folds: int) -> Iterator[NDArray[np.bool_]]:
    """Which pictures are tested in each fold, bool ``(N,)``: drawn at random within each label,
    always alike.

    Raises:
        DataError: there are fewer pictures than folds.
    """
    if len(labels) < folds:
        raise DataError(f"{len(labels)} pictures cannot be split into {folds} folds")
    fold_of, rng, given = np.zeros(len(labels), np.int64), np.random.default_rng(0), 0
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        fold_of[places] = (given + np.arange(len(places))) % folds
        given += len(places)
    for fold in range(folds):
        yield np.asarray(fold_of == fold)


def _of_folder(path: Path) -> CKPlus:
    rows = []
    for folder in sorted(one for one in path.iterdir() if one.is_dir()):
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in _PICTURES:
                rows.append((_picture(file), _label(folder.name, str(folder)), file.stem))
    if not rows:
        raise DataError(f"{path} has no folders of pictures, one for each label")
    pictures, labels, names = zip(*rows, strict=True)
    subjects = [name.partition("_")[0] if "_" in name else "" for name in names]
    return _checked(str(path), np.stack(pictures), labels, subjects if all(subjects) else None)


def _picture(file: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            grey = image.convert("L")
            if grey.size != (SIDE, SIDE):  # 640x490 as published, or cropped by somebody
                grey = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            return np.asarray(grey)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} is not a picture: {error}") from error


def _label(name: str, where: str) -> int:
    word = name.lower()
    word = _SYNONYMS.get(word, word)
    if word not in CKPLUS_LABELS:
        raise DataError(f"{where}: {name!r} is none of {', '.join(CKPLUS_LABELS)}")
    return CKPLUS_LABELS.index(word)


def _of_h5(path: Path) -> CKPlus:
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path} needs h5py: pip install h5py") from None
    try:
        with h5py.File(path) as file:
            if missing := {"data_pixel", "data_label"} - set(file):
                raise DataError(f"{path} has no {' and no '.join(sorted(missing))}")
            subjects = file["data_subject"][()] if "data_subject" in file else None
            return _checked(str(path), file["data_pixel"][()], file["data_label"][()], subjects)
    except OSError as error:
        raise DataError(f"{path} is not an HDF5 file: {error}") from error


def _of_arrays(path: Path) -> CKPlus:
    try:
        with np.load(path) as file:
            if missing := {"pictures", "labels"} - set(file.files):
                raise DataError(f"{path} has no {' and no '.join(sorted(missing))}")
            subjects = file["subjects"] if "subjects" in file.files else None
            return _checked(str(path), file["pictures"], file["labels"], subjects)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not an .npz of arrays: {error}") from error


def _checked(name: str, pictures: Any, labels: Any, subjects: Any) -> CKPlus:
    pictures, labels = np.asarray(pictures), np.asarray(labels)
    if pictures.ndim != 3 or pictures.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{name}: pictures of shape {pictures.shape}, not (N, {SIDE}, {SIDE})")
    if pictures.dtype.kind not in "uif" or (pictures.size and not 0 <= pictures.min() <= 255):
        raise DataError(f"{name}: pictures are not grey values of 0 to 255")
    if labels.shape != (len(pictures),):
        raise DataError(f"{name}: {len(pictures)} pictures and labels of shape {labels.shape}")
    if labels.dtype.kind in "US":
        words = [one.decode() if isinstance(one, bytes) else str(one) for one in labels]
        labels = np.array([_label(word, name) for word in words])
    numbers = labels.astype(np.int64)
    if not len(numbers) or (numbers != labels).any():
        raise DataError(f"{name}: labels are no whole numbers, or there are none")
    if numbers.min() < 0 or numbers.max() >= len(CKPLUS_LABELS):
        raise DataError(
            f"{name}: labels from {numbers.min()} to {numbers.max()}, not 0 to "
            f"{len(CKPLUS_LABELS) - 1} ({', '.join(CKPLUS_LABELS)})"
        )
    whose = None
    if subjects is not None:
        words = [one.decode() if isinstance(one, bytes) else str(one) for one in subjects]
        whose = np.array(words)
        if whose.shape != (len(pictures),):
            raise DataError(f"{name}: {len(pictures)} pictures and {len(whose)} subjects")
    if pictures.dtype.kind == "f" and pictures.max() <= 1:
        pictures = pictures * 255
    return CKPlus(np.rint(pictures).astype(np.uint8), numbers, whose)
