"""What ten people said of each picture of FER2013.

FER2013's own labels are the words of a web search. For FER+ (Barsoum et al., "Training Deep
Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution", 2016) ten people
chose one of ten columns for every picture. Their votes are read in two forms:

* Microsoft's ``fer2013new.csv``, row by row beside Kaggle's ``fer2013.csv``;
* a csv with a column ``name`` (``Training_1206``: a picture's file name without its ending) and the
  same ten columns, beside pictures as files. Where a picture is there more than once, the votes of
  all its copies may have been added, so that rows sum to more than ten.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.labels import LABELS
from training.data.datasets import DataError, Faces

VOTES_VARIABLE = "SPLITFER_VOTES"
COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
    "contempt", "unknown", "NF",
)  # fmt: skip
NOT_A_FACE = COLUMNS.index("NF")
# The label that ``protocol`` gives to contempt, which is none of ours: no answer equals it.
CONTEMPT = len(LABELS)
# FER+ gives no votes for some half per cent of the pictures, which are not faces. More than this
# means that votes and pictures are not of one data set.
MISSING_SHARE_MOST = 0.02
# Of a few pictures of a part these may be missing, whatever their share.
MISSING_OF_FEW = 2
# Of each label, its column.
_LABEL_COLUMNS = np.array(
    [
        COLUMNS.index(name)
        for name in ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    ]
)
# Of each column, its label; -1 for unknown and NF.
_COLUMN_LABELS = np.array([*np.argsort(_LABEL_COLUMNS), CONTEMPT, -1, -1])
_MOST_VOTES = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class Votes:
    """Votes of one part, in the order of its ``Faces``: ``counts`` uint16 ``(N, 10)``, in the order
    of ``COLUMNS``. A picture without votes has zeros, and no measure takes it.

    What is called the seven are the columns that are labels of ours: all but contempt, unknown and
    NF. Labels are int64, an index into ``LABELS``.
    """

    counts: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.counts)

    def subset(self, chosen: NDArray[np.bool_]) -> Votes:
        """The votes where ``chosen`` ``(N,)`` is true."""
        return Votes(self.counts[chosen])

    @property
    def missing(self) -> int:
        """How many pictures have no votes at all."""
        return int((self.counts.sum(axis=1) == 0).sum())

    @property
    def of_the_seven(self) -> NDArray[np.int64]:
        """How many votes of each picture are for one of the seven, int64 ``(N,)``."""
        return np.asarray(self.counts[:, _LABEL_COLUMNS].sum(axis=1, dtype=np.int64))

    @property
    def distribution(self) -> NDArray[np.float32]:
        """Shares of the seven in the order of ``LABELS``, float32 ``(N, 7)``.

        Contempt, unknown and NF are left out and the rest sums to one; zeros where nothing is left.
        """
        return self._shares().astype(np.float32)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which pictures can be learnt from, bool ``(N,)``: those with a vote for one of the seven
        whose first choice is not NF (NF is it where it has more votes than each other column)."""
        return np.asarray((self.of_the_seven > 0) & (self.counts.argmax(axis=1) != NOT_A_FACE))

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Of ``distribution``, in nats, float64 ``(N,)``: 0 where all agree, at most ln 7; 0 too
        where nobody chose one of the seven."""
        shares = self._shares()
        logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        return np.asarray(np.abs((shares * logarithms).sum(axis=1)))

    def protocol(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """FER+'s majority protocol: labels ``(N,)`` and which faces count, bool ``(N,)``.

        Of each picture: a column with exactly one vote loses it; of the votes that are then left in
        all ten columns, the label is the column with more than half. Left out are pictures where
        there is none, or where it is unknown or NF: their label is -1. Contempt is the eighth
        class, ``CONTEMPT``: those faces count, and every answer of ours to them is wrong.
        """
        kept = np.where(self.counts > 1, self.counts, 0).astype(np.int64)
        majority = 2 * kept.max(axis=1) > kept.sum(axis=1)
        labels = np.where(majority, _COLUMN_LABELS[kept.argmax(axis=1)], -1)
        return labels, labels >= 0

    def plurality(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """First choice among the seven: labels ``(N,)``, -1 where left out, and ``usable``.

        Of labels with equally many votes, the first in the order of ``COLUMNS`` is taken (neutral
        before happiness before surprise, and so on).
        """
        first = _COLUMN_LABELS[self.counts[:, : len(LABELS)].argmax(axis=1)]
        usable = self.usable
        return np.where(usable, first, -1), usable

    def agreement(self) -> float:
        """How often one voter, drawn at random, says the label of ``protocol``: the mean over its
        faces of the label's share of all ten columns' votes; NaN where there is no face.

        The label is partly that voter's own doing, so this is a little more than a further person
        would reach. A voter can say contempt.
        """
        labels, chosen = self.protocol()
        if not chosen.any():
            return float("nan")
        columns = np.append(_LABEL_COLUMNS, COLUMNS.index("contempt"))[labels[chosen]]
        counts = self.counts[chosen].astype(np.float64)
        return float((counts[np.arange(len(counts)), columns] / counts.sum(axis=1)).mean())

    def cross_entropy_floor(self) -> float:
        """The least cross entropy against ``distribution`` that answers can have, in nats: the mean
        ``entropy`` of the usable pictures; NaN where there is none."""
        usable = self.usable
        return float(self.entropy[usable].mean()) if usable.any() else float("nan")

    def prior(self) -> NDArray[np.float64]:
        """The mean ``distribution`` of the usable pictures, float64 ``(7,)``, sums to one.

        Raises:
            DataError: no picture is usable.
        """
        usable = self.usable
        if not usable.any():
            raise DataError("no picture has votes for one of our labels")
        return np.asarray(self._shares()[usable].mean(axis=0))

    def _shares(self) -> NDArray[np.float64]:
        seven = self.counts[:, _LABEL_COLUMNS].astype(np.float64)
        return np.asarray(seven / np.maximum(self.of_the_seven, 1)[:, None])


def votes_path(argument: str | None) -> Path:
    """The votes named on the command line, else by ``SPLITFER_VOTES``.

    Raises:
        DataError: neither names a file, or it does not exist.
    """
    name = argument or os.environ.get(VOTES_VARIABLE)
    if not name:
        raise DataError(f"no votes: pass --votes FILE or set {VOTES_VARIABLE}")
    path = Path(name)
    if not path.is_file():
        raise DataError(f"no file of votes at {path}")
    return path


def votes_or_none(argument: str | None) -> Path | None:
    """The votes named on the command line or by ``SPLITFER_VOTES``; None where neither does.

    Raises:
        DataError: what is named does not exist.
    """
    return votes_path(argument) if argument or os.environ.get(VOTES_VARIABLE) else None


def load_votes(path: Path, faces: Faces, usage: str) -> Votes:
    """Votes for ``faces`` of the part ``usage``; rows of other parts are not looked at.

    A few pictures have no votes of their own and get zeros: those that FER+ took for no face and
    gave no row, and those whose name is there twice, since nothing tells which row is whose
    (``faces`` should be a whole part or what is left of one: a name that two pictures bear is only
    seen where both are there).

    Raises:
        DataError: the file is not such a csv; a column is missing; votes are not whole numbers from
            zero on; more than ``MISSING_SHARE_MOST`` of the pictures have no row, or share their
            name; or a file in the form of Kaggle's rows is beside pictures that are none.
    """
    header, rows = _read(path)
    if "name" in header:
        return Votes(_by_name(path, rows, faces, usage))
    if {"Usage", "Image name"} <= set(header):
        return Votes(_by_row(path, rows, faces, usage))
    raise DataError(f"{path} has neither a column name nor the columns Usage and Image name")


_Row = dict[str, Any]


def _read(path: Path) -> tuple[list[str], list[_Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a csv of votes: {error}") from error
    if absent := [name for name in COLUMNS if name not in header]:
        raise DataError(f"{path} has no column {', '.join(absent)}")
    return header, rows


def _counts(path: Path, number: int, row: _Row) -> list[int]:
    """The ten votes of a row; ``number`` counts from 0 and names it in errors."""
    counts = []
    for name in COLUMNS:
        text = (row[name] or "").strip()
        if not re.fullmatch("[0-9]{1,5}", text) or int(text) > _MOST_VOTES:
            raise DataError(
                f"{path}, row {number}: {name} is {row[name]!r}, not a number of votes "
                f"(0 to {_MOST_VOTES})"
            )
        counts.append(int(text))
    return counts


def _by_name(path: Path, rows: list[_Row], faces: Faces, usage: str) -> NDArray[np.uint16]:
    start = f"{usage}_"
    found: dict[str, list[int]] = {}
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows):
        name = row["name"] or ""
        if name.startswith(start):
            found[name] = _counts(path, number, row)
            seen[name] += 1
    names = [f"{start}{number}" for number in faces.ids]
    pictures = Counter(names)
    shared = [name for name in names if seen[name] > 1 or (pictures[name] > 1 and seen[name])]
    absent = [name for name in names if not seen[name]]
    _few(path, absent, len(names), usage, "have no row")
    _few(path, shared, len(names), usage, "have a name that is there twice")
    own = {name: found[name] for name in set(names).difference(shared, absent)}
    nothing = [0] * len(COLUMNS)
    return np.array([own.get(name, nothing) for name in names], np.uint16).reshape(-1, len(COLUMNS))


def _few(path: Path, names: list[str], n: int, usage: str, what: str) -> None:
    if len(names) > max(MISSING_SHARE_MOST * n, MISSING_OF_FEW) or 0 < len(names) == n:
        raise DataError(
            f"{path}: {len(names)} of {n} pictures of {usage} {what}, the first is {names[0]}; "
            "are these the votes of this data set?"
        )


def _by_row(path: Path, rows: list[_Row], faces: Faces, usage: str) -> NDArray[np.uint16]:
    counts = np.zeros((len(faces), len(COLUMNS)), np.uint16)
    for place, number in enumerate(faces.ids.tolist()):
        found = rows[number]["Usage"] if number < len(rows) else None
        if found != usage:
            there = "there is none" if found is None else f"that is of {found}"
            raise DataError(
                f"{path} goes row by row with Kaggle's fer2013.csv: row {number} should be of "
                f"{usage}, {there}"
            )
        counts[place] = _counts(path, number, rows[number])
    return counts
