"""How many epochs fit into a time: a whole pipeline scaled to what a machine is there for."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

# Measuring after each epoch, checkpoints, and machines that have better and worse minutes.
_BESIDE_TRAINING = 1.15
_WARM_UP, _TIMED = 3, 8


def scaled_epochs(epochs: Sequence[int], epoch_s: Sequence[float], minutes: float) -> list[int]:
    """The epochs of each stage, all made less by one factor where they would take longer than
    ``minutes``; at least one each, never more than planned."""
    planned_s = sum(n * each for n, each in zip(epochs, epoch_s, strict=True)) * _BESIDE_TRAINING
    factor = min(1.0, minutes * 60 / planned_s) if planned_s else 1.0
    return [max(1, int(n * factor)) for n in epochs]


def step_seconds(step: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    """What one call of ``step`` takes, over a few after the first ones."""
    for _ in range(_WARM_UP):
        step()
    started = clock()
    for _ in range(_TIMED):
        step()
    return (clock() - started) / _TIMED


def add_minutes(parser: argparse.ArgumentParser) -> None:
    """The flag ``--minutes``."""
    parser.add_argument(
        "--minutes",
        type=_positive,
        metavar="M",
        help="fewer epochs, where all would take longer; timed at the start",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes")
    return value
