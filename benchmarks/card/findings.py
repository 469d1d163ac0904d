"""Sentences about a measured card: each says what the figures say, whatever they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.card.confusion import Confusion
from splitfer.shared.labels import LABELS

Row = dict[str, Any]
# Confusions that are told.
MOST = 4
# A class is answered too often or too rarely from this ratio of answers to faces on.
UNEVEN = 1.1


def failures(card: Row, path: str) -> list[str]:
    """What goes wrong on ``path``, the most frequent first within each kind."""
    confusion = Confusion(np.array(card["confusion"][path]))
    return [
        _recalls(confusion),
        _confusions(confusion),
        *_contempt(confusion),
        *_uneven(confusion),
        _sure(card["sure"][path]),
        *_covered(card["covered"], path),
        *_slices(card["slices"], path, confusion.accuracy),
    ]


def _recalls(confusion: Confusion) -> str:
    there = np.flatnonzero(confusion.faces)
    order = there[np.argsort(confusion.recall[there], kind="stable")]
    if len(order) < 3:
        return "Too few labels have a face to say which is found best."
    worst, second, best = order[0], order[1], order[-1]
    return (
        f"`{LABELS[best]}` is found best ({confusion.recall[best]:.0%} of its faces), "
        f"`{LABELS[worst]}` ({confusion.recall[worst]:.0%}) and `{LABELS[second]}` "
        f"({confusion.recall[second]:.0%}) worst."
    )


def _confusions(confusion: Confusion) -> str:
    shares = confusion.shares
    told = [
        f"`{LABELS[label]}` taken for `{LABELS[answer]}` ({shares[label, answer]:.0%} of its "
        f"faces; the other way round {shares[answer, label]:.0%})"
        for label, answer in confusion.worst(MOST)
    ]
    return f"The confusions with the largest share of a label's faces: {'; '.join(told)}."


def _contempt(confusion: Confusion) -> list[str]:
    if not confusion.contempt:
        return []
    row = confusion.counts[-1]
    most = int(row.argmax())
    told = f"most often `{LABELS[most]}` ({row[most] / confusion.contempt:.0%})"
    return [f"Contempt is no answer: its {confusion.contempt:,} faces are all wrong, {told}."]


def _uneven(confusion: Confusion) -> list[str]:
    # Without the faces of contempt, which have to be answered with some label.
    answers = confusion.counts[: len(LABELS)].sum(axis=0)
    ratio = answers / np.maximum(confusion.faces, 1)
    often = [
        f"`{name}` ({r:.2f} answers a face)"
        for name, r in zip(LABELS, ratio, strict=True)
        if r >= UNEVEN
    ]
    rarely = [
        f"`{name}` ({r:.2f})" for name, r in zip(LABELS, ratio, strict=True) if r <= 1 / UNEVEN
    ]
    told = []
    if often:
        told.append(f"Answered too often: {', '.join(often)}.")
    if rarely:
        told.append(f"Answered too rarely: {', '.join(rarely)}.")
    return told


def _sure(sure: Row) -> str:
    if not sure["n"]:
        return f"No answer reaches a probability of {sure['from']:.0%}."
    return (
        f"Of the {sure['n']:,} answers with a probability of at least {sure['from']:.0%}, "
        f"{sure['wrong']:,} ({sure['wrong'] / sure['n']:.1%}) are not the label."
    )


def _covered(covered: Row, path: str) -> list[str]:
    told = []
    for part, rows in covered.items():
        row = rows[path]
        low, high = row["interval_95"]
        if low <= 0 <= high:
            told.append(f"Covering the {part} changes the accuracy by no more than chance.")
            continue
        lost = "costs" if row["difference"] < 0 else "gains"
        told.append(
            f"Covering the {part} {lost} {100 * abs(row['difference']):.1f} points "
            f"({100 * min(abs(low), abs(high)):.1f} to {100 * max(abs(low), abs(high)):.1f})."
        )
    return told


def _slices(slices: list[Row], path: str, overall: float) -> list[str]:
    """Slices whose interval does not reach ``overall``, the accuracy over all faces."""
    clear = [
        (row[path]["accuracy"], f"{row['by']}, {row['name']}: {row[path]['accuracy']:.1%}")
        for row in slices
        if not row[path]["interval_95"][0] <= overall <= row[path]["interval_95"][1]
    ]
    if not clear:
        return ["No slice below is further from the whole than its interval."]
    told = []
    for kind, some in (
        ("worse", [text for value, text in sorted(clear) if value < overall]),
        ("better", [text for value, text in sorted(clear)[::-1] if value > overall]),
    ):
        if some:
            told.append(f"Slices clearly {kind} than all faces ({overall:.1%}): {'; '.join(some)}.")
    return told


def labels_worth(card: Row) -> str:
    """What copies of one picture say of the labels."""
    told = []
    for where, row in card["labels"].items():
        if row["pairs"]:
            share = row["differ"] / row["pairs"]
            told.append(f"{where}: {row['differ']:,} of {row['pairs']:,} pairs ({share:.0%})")
    if not told:
        return "No picture is there twice, so the labels cannot be compared with themselves."
    return f"Of pairs that show the same photograph, so many bear two labels: {'; '.join(told)}."
