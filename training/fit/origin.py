"""What a checkpoint was made of, so that no run goes on unseen from one of other faces or settings.

A checkpoint without it, from before it was kept, is taken as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from training.data.datasets import DataError
from training.data.judged import Judged
from training.recipe import Recipe

# In a checkpoint.
SETTINGS, FACES = "settings", "faces"
# Settings that begin so make other networks, whose weights do not fit.
_NETWORK, _STAGE = "model", "stage "
_NAMED_MOST = 3
_NONE = "none"


def settings_of(recipe: Recipe) -> dict[str, str]:
    """Every value of ``recipe`` by its place, such as ``stage 1 epochs``."""
    table = dataclasses.asdict(recipe)
    stages, model = table.pop("stages"), table.pop("model")
    found = {name: str(value) for name, value in table.items()}
    found |= {f"{_NETWORK} {name}": str(value) for name, value in model.items()}
    for number, stage in enumerate(stages, 1):
        found |= {f"{_STAGE}{number} {name}": str(value) for name, value in stage.items()}
    return found


def faces_mark(judged: Judged) -> str:
    """Of the pictures, their order, and what is said of them."""
    digest = hashlib.sha256(judged.faces.pictures.tobytes())
    for label_set in sorted(judged.targets):
        digest.update(label_set.encode() + judged.targets[label_set].tobytes())
    return digest.hexdigest()[:32]


def check_settings(
    made: Mapping[str, str],
    now: Mapping[str, str],
    checkpoint: Path,
    finished: bool,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> None:
    """Whether a run may go on from ``checkpoint``, made with the settings ``made``. One that is not
    finished may have others by now but for its network's, and ``say`` is given them.

    Raises:
        ValueError: it may not; names what differs.
    """
    changed = {
        name: f"{name} {value} (now {now.get(name, _NONE)})"
        for name, value in made.items()
        if (name in now or name.startswith(_STAGE)) and now.get(name, _NONE) != value
    }
    if not changed:
        return
    several = list(changed.values())
    named = ", ".join(several[:_NAMED_MOST]) + (", ..." if several[_NAMED_MOST:] else "")
    if finished or any(name.startswith(_NETWORK) for name in changed):
        what = "finished" if finished else "begun"
        raise ValueError(f"{checkpoint} was {what} with {named}: {_how(checkpoint)}")
    say(f"{checkpoint} was begun with {named}; it goes on with what is said now")


def check_faces(made: str, now: str, checkpoint: Path) -> None:
    """Whether a run of the faces ``now`` may go on from ``checkpoint``, made of ``made``.

    Raises:
        DataError: it may not.
    """
    if made != now:
        raise DataError(
            f"{checkpoint} was made of other faces, or of other votes for them: {_how(checkpoint)}"
        )


def say_finished(checkpoint: Path, epochs: object) -> None:
    """On the error output: that a run has nothing left to train."""
    print(
        f"{checkpoint} is finished, after {epochs} epochs: nothing is left to train",
        file=sys.stderr,
    )


def _how(checkpoint: Path) -> str:
    return f"give another --run, or remove {checkpoint.parent} to train it anew"
