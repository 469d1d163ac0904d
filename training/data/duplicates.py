"""Faces that FER2013 holds more than once: ``python -m training.data.duplicates --data PATH``.

Two pictures are copies where their grey values correlate: that does not ask about brightness or
contrast, which the copies on the web differ in. A picture and its mirror image count too. Blank
pictures (black, or of one grey) hold no face and correlate with nothing.

Every pair of pictures is looked at, first reduced to 16x16 by one matrix product a block, then at
full size where that was close.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.data.datasets import SIDE, DataError, Faces, data_path, load_fer2013

USAGES = ("Training", "PublicTest", "PrivateTest")
TRAINING = "Training"
# From here on nearly every pair is one photograph, if cut or scaled otherwise; at 0.90 to 0.92 one
# in ten is not (looked at in PublicTest against Training).
NEAR = 0.93
# Copies that are shifted or cut a little differently agree more when reduced, never much less.
REDUCED_SIDE = 16
REDUCED_NEAR = NEAR - 0.01
# Standard deviation in grey values under which nothing can be seen in a picture.
BLANK = 3.0
BLOCK = 512


@dataclass(frozen=True)
class Pairs:
    """Copies: ``first`` and ``second`` int64 ``(P,)`` are places in two stacks of pictures,
    ``correlation`` float32 ``(P,)``, ``mirrored`` and ``exact`` (every pixel) bool ``(P,)``."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    correlation: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    exact: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)


def blank(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of uint8 ``(N, 48, 48)`` show nothing, bool ``(N,)``."""
    return np.asarray(pictures.std(axis=(1, 2), dtype=np.float32) < BLANK)


def find_pairs(
    first: NDArray[np.uint8], second: NDArray[np.uint8] | None = None, near: float = NEAR
) -> Pairs:
    """Copies between two stacks of pictures uint8 ``(N, 48, 48)``, or within one.

    Within one, each pair comes once, the lower place first.
    """
    within = second is None
    second = first if second is None else second
    found = []
    for mirrored in (False, True):
        turned = second[:, :, ::-1] if mirrored else second
        for i, j in _close(_reduced(first), _reduced(turned), within):
            correlation = (_normal(first[i]) * _normal(turned[j])).sum(axis=1)
            kept = correlation >= near
            i, j = i[kept], j[kept]
            exact = (first[i] == turned[j]).all(axis=(1, 2))
            found.append((i, j, correlation[kept], np.full(len(i), mirrored), exact))
    return Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def copied(pictures: NDArray[np.uint8], training: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``pictures`` have a copy among those of ``training``, bool ``(N,)``."""
    found = np.zeros(len(pictures), np.bool_)
    found[find_pairs(pictures, training).first] = True
    return found


def without_copies(train: Faces, *others: Faces) -> NDArray[np.bool_]:
    """Which faces of ``train`` have no copy in any of ``others``, bool ``(N,)``.

    For ``subset``: what is measured on ``others`` was then not learnt by heart. Copies within
    ``train`` stay.
    """
    kept = np.ones(len(train), np.bool_)
    if others:
        kept &= ~copied(train.pictures, np.concatenate([other.pictures for other in others]))
    return kept


def training_to_drop(training: Faces, tests: Iterable[Faces]) -> NDArray[np.int64]:
    """Ids of Training that are better left out, ascending.

    Blank pictures, copies of a test picture, and of each group of copies all but one: the first
    that bears the group's most frequent label.
    """
    drop = blank(training.pictures)
    for test in tests:
        drop |= copied(training.pictures, test.pictures)
    for group in _groups(len(training), find_pairs(training.pictures)):
        labels = training.labels[group]
        most = Counter(labels.tolist()).most_common(1)[0][0]
        kept = group[int(np.argmax(labels == most))]
        drop[group[group != kept]] = True
    return training.ids[drop]


def _normal(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """``(N, ...)`` -> float32 ``(N, P)``: mean 0, length 1; zero where the picture is blank."""
    flat = pictures.reshape(len(pictures), math.prod(pictures.shape[1:])).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    nothing = length < BLANK * np.sqrt(flat.shape[1])
    return np.asarray(np.where(nothing, 0, flat / np.where(nothing, 1, length)), np.float32)


def _reduced(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = SIDE // REDUCED_SIDE
    blocks = pictures.reshape(-1, REDUCED_SIDE, step, REDUCED_SIDE, step)
    small = _normal(blocks.mean(axis=(2, 4), dtype=np.float32))
    small[blank(pictures)] = 0
    return small


def _close(
    first: NDArray[np.float32], second: NDArray[np.float32], within: bool
) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of pairs that are close when reduced, a block of rows at a time."""
    for start in tqdm(
        range(0, max(1, len(first)), BLOCK), desc="pairs", unit="block", disable=None
    ):
        skipped = start if within else 0
        i, j = np.nonzero(first[start : start + BLOCK] @ second[skipped:].T >= REDUCED_NEAR)
        i, j = i + start, j + skipped
        kept = i < j if within else np.ones(len(i), np.bool_)
        yield i[kept], j[kept]


def _groups(n: int, pairs: Pairs) -> list[NDArray[np.int64]]:
    """The places that pairs join, ascending in each group."""
    root = np.arange(n)

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = int(root[place])
        return place

    for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        low, high = sorted((find(a), find(b)))
        root[high] = low
    roots = np.array([find(place) for place in range(n)])
    members = np.flatnonzero(np.bincount(roots, minlength=n)[roots] > 1)
    return [members[roots[members] == one] for one in np.unique(roots[members])]


def report(parts: dict[str, Faces]) -> dict[str, Any]:
    """Counts by kind and pair of splits, and what the copies say of the labels."""
    result: dict[str, Any] = {
        "near": NEAR,
        "faces": {name: len(faces) for name, faces in parts.items()},
        "blank": {name: int(blank(faces.pictures).sum()) for name, faces in parts.items()},
        "pairs": {},
    }
    names = list(parts)
    for place, name in enumerate(names):
        for other in names[place:]:
            a, b = parts[name], parts[other]
            pairs = find_pairs(a.pictures, None if name == other else b.pictures)
            result["pairs"][f"{name}, {other}"] = _row(a, b, pairs)
    if TRAINING in parts:
        tests = [faces for name, faces in parts.items() if name != TRAINING]
        result["training_to_drop"] = len(training_to_drop(parts[TRAINING], tests))
    return result


def _row(first: Faces, second: Faces, pairs: Pairs) -> dict[str, Any]:
    differ = first.labels[pairs.first] != second.labels[pairs.second]
    return {
        "pairs": len(pairs),
        "exact": int(pairs.exact.sum()),
        "mirrored": int(pairs.mirrored.sum()),
        "faces_of_the_first": len(np.unique(pairs.first)),
        "faces_of_the_second": len(np.unique(pairs.second)),
        "labels_differ": int(differ.sum()),
        "labels_differ_share": round(float(differ.mean()), 4) if len(pairs) else None,
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"{name}: {n} faces, {result['blank'][name]} blank" for name, n in result["faces"].items()
    ]
    heads = ("pairs", "exact", "mirrored", "labels_differ")
    lines.append(f"\n{'':<26}" + "".join(f"{head.replace('_', ' '):>15}" for head in heads))
    for name, row in result["pairs"].items():
        lines.append(f"{name:<26}" + "".join(f"{row[head]:>15}" for head in heads))
    if "training_to_drop" in result:
        lines.append(f"\n{result['training_to_drop']} of Training are better left out")
    return "\n".join(lines)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    try:
        data, parts = data_path(arguments.data), {}
        for usage in USAGES:
            try:
                parts[usage] = load_fer2013(data, usage)
            except DataError:
                if usage == TRAINING:
                    raise
        result = report(parts)
    except DataError as error:
        print(f"duplicates: {error}", file=sys.stderr)
        return 3
    print(json.dumps(result) if arguments.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
