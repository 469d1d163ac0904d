"""Made-up votes for a made-up FER2013."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitfer.shared.labels import LABELS
from training.data.datasets import Faces
from training.data.votes import COLUMNS

# Of each label, the column of its votes.
COLUMN_OF = dict(
    zip(
        LABELS,
        ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
        strict=True,
    )
)


def made_votes(faces: Faces, seed: int = 0) -> NDArray[np.int64]:
    """Counts ``(N, 10)``: most say the label of the data set. Of every ten faces one is contempt to
    eight, one no face to all, and about one people cannot agree."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((len(faces), len(COLUMNS)), np.int64)
    for place, label in enumerate(faces.labels):
        own = COLUMNS.index(COLUMN_OF[LABELS[label]])
        other = int(rng.integers(0, len(LABELS)))
        match place % 10:
            case 3:
                counts[place, [COLUMNS.index("contempt"), own]] = 8, 2
            case 6:
                counts[place, COLUMNS.index("NF")] = 10
            case 9:
                counts[place, own] += 5
                counts[place, (own + 1) % len(LABELS)] += 5
            case _:
                counts[place, own] += 7
                counts[place, other] += 3
    return counts


def write_votes(path: Path, parts: dict[str, Faces]) -> Path:
    """The csv with a column ``name``."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("name", *COLUMNS))
        for usage, faces in parts.items():
            rows = made_votes(faces).tolist()
            out.writerows((f"{usage}_{i}", *row) for i, row in zip(faces.ids, rows, strict=True))
    return path
