"""Which weights a device uses, on disk, whatever happens to it.

STATE/weights/chosen.json      what is used, whether it has proved itself, what was before
STATE/weights/<name>/          a folder of weights that was fetched whole and judged
STATE/weights/<name>.part/     one that is being fetched

base --take--> on trial --confirm--> good --take--> on trial ...
                  |                    ^              |
                  +---- give_up -------+ (or base)    +--lose--> base
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from splitfer.shared.whole_file import write_whole

CHOSEN = "chosen.json"
PART = ".part"
MOST_LOADS = 2
"""So often weights on trial may have been loaded without a run that began: then they are given up.
One is a cut of the power."""

_MOST_REFUSED = 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """``name`` of a folder, None for the weights that the run began with (its base); ``before``
    likewise. ``release`` is the highest that was ever taken. ``refused`` are the marks of manifests
    that failed here. ``loads`` counts the loads that no beginning followed, while on ``trial``."""

    name: str | None = None
    before: str | None = None
    trial: bool = False
    loads: int = 0
    release: int = 0
    refused: tuple[str, ...] = ()


class WeightsStore:
    """The folder ``root``. One process, one thread at a time. Every change is on disk, whole,
    before the method returns. Where the disk takes nothing it holds until the process ends, and the
    log says so: what is then done again is what was done before.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.chosen = self._read()

    @property
    def on_trial(self) -> bool:
        """Whether what is used has yet to prove itself."""
        return self.chosen.trial

    def folder(self, base: Path) -> Path:
        """What is used now; ``base`` where nothing was fetched, or is there any more."""
        name = self.chosen.name
        return base if name is None else self.root / name

    def load(self) -> None:
        """What is used is about to be loaded. Weights on trial that were loaded too often, and
        those that are no longer there, are given up."""
        chosen = self.chosen
        if chosen.name is not None and not (self.root / chosen.name).is_dir():
            _log.error("the weights %s are gone; those of before are used", chosen.name)
            self._save(replace(chosen, name=self._there(chosen.before), before=None, trial=False))
        elif chosen.trial and chosen.loads >= MOST_LOADS:
            self.give_up(f"they were loaded {chosen.loads} times, and the device ended each time")
        elif chosen.trial:
            self._save(replace(chosen, loads=chosen.loads + 1))

    def begun(self) -> None:
        """A run began with what was loaded."""
        if self.chosen.trial and self.chosen.loads:
            self._save(replace(self.chosen, loads=0))

    def take(self, name: str, release: int) -> None:
        """Use the folder ``name`` from the next load on, on trial."""
        before = self.chosen.before if self.chosen.trial else self.chosen.name
        self._save(
            replace(
                self.chosen,
                name=name,
                before=before,
                trial=True,
                loads=0,
                release=max(release, self.chosen.release),
            )
        )

    def confirm(self) -> None:
        """They have proved themselves; those of before go."""
        if self.chosen.trial:
            self._save(replace(self.chosen, before=None, trial=False, loads=0))
            self._clean()

    def give_up(self, why: str) -> None:
        """Use those of before again, from the next load on, and never these."""
        chosen = self.chosen
        _log.error("the weights %s are given up: %s", chosen.name, why)
        self._save(
            replace(
                chosen,
                name=self._there(chosen.before),
                before=None,
                trial=False,
                loads=0,
                refused=self._with(chosen.name.partition("-")[2] if chosen.name else None),
            )
        )
        self._clean()

    def lose(self, why: str) -> None:
        """What is used had proved itself, and can be loaded no more: a card that fails, or another
        version of the program. The base is used from the next load on."""
        _log.error("the weights %s cannot be used any more: %s", self.chosen.name, why)
        self._save(replace(self.chosen, name=None, before=None, trial=False, loads=0))
        self._clean()

    def refuse(self, mark: str) -> None:
        """Never take the manifest with this mark (``mark_of``)."""
        self._save(replace(self.chosen, refused=self._with(mark)))

    def _there(self, name: str | None) -> str | None:
        return name if name is not None and (self.root / name).is_dir() else None

    def _with(self, mark: str | None) -> tuple[str, ...]:
        others = tuple(one for one in self.chosen.refused if one != mark)
        return (*others, mark)[-_MOST_REFUSED:] if mark else others

    def _save(self, chosen: Chosen) -> None:
        self.chosen = chosen
        file = self.root / CHOSEN
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(asdict(chosen), indent=1).encode() + b"\n")
        except OSError as error:
            _log.error("%s cannot be written: %s", file, error.strerror or error)

    def _read(self) -> Chosen:
        try:
            said = json.loads((self.root / CHOSEN).read_bytes())
            refused = tuple(map(str, said.pop("refused", ())))
            chosen = Chosen(**said, refused=refused)
            names = [name for name in (chosen.name, chosen.before) if name is not None]
            if any(os.path.basename(name) != name or name in ("", ".", "..") for name in names):
                raise ValueError("a name of a folder is expected")
            if type(chosen.release) is not int or type(chosen.loads) is not int:
                raise ValueError("numbers are expected")
        except FileNotFoundError:
            return Chosen()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.error(
                "%s is damaged (%s): what was fetched is not used", self.root / CHOSEN, error
            )
            return Chosen()
        return chosen

    def _clean(self) -> None:
        kept = {self.chosen.name, self.chosen.before}
        with suppress(OSError):
            for folder in self.root.iterdir():
                if folder.is_dir() and folder.name not in kept:
                    shutil.rmtree(folder, ignore_errors=True)


def mark_of(manifest_sha256: str) -> str:
    """The part of a folder's name that identifies a manifest."""
    return manifest_sha256[:16]


def folder_name(fingerprint: str, manifest_sha256: str) -> str:
    """The name of the folder in which these weights are kept."""
    return f"{fingerprint}-{mark_of(manifest_sha256)}"
