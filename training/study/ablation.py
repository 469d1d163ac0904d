"""The paper's ablations as data: which networks are compared, on what budget, and what came out.

A finished run is one JSON line, so a study can be stopped and gone on with, and studies share the
runs that they have in common.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.models.sfp import LEVELS
from training.models.split_model import SplitConfig

RUNS = Path("training/ablations/runs.jsonl")


@dataclass(frozen=True)
class Variant:
    """One network of a study; ``paper`` is its accuracy there in per cent, None where not given."""

    name: str
    config: SplitConfig
    paper: float | None = None


@dataclass(frozen=True)
class Study:
    """One table or figure of paper 001. The first variant is what the others are compared with.

    ``pairs`` are further comparisons: name of one, name of the other, and whether the paper says
    that the first is better (else it says nothing of the two).
    """

    title: str
    flag: str
    variants: tuple[Variant, ...]
    pairs: tuple[tuple[str, str, bool], ...]


def _modules(modules: str, paper: float | None) -> Variant:
    name = "backbone only" if modules == "none" else modules.upper()
    return Variant(name, SplitConfig(modules=modules), paper)


def _directions(directions: str, paper: float) -> Variant:
    return Variant(directions, SplitConfig(modules="asp", directions=directions), paper)


def _transform(wavelet: str, level: int) -> Variant:
    # The figure's values are not printed in the text, but this one is Table 2's.
    paper = 61.34 if (wavelet, level) == ("db2", 3) else None
    config = SplitConfig(modules="sfp", wavelet=wavelet, level=level)
    return Variant(f"{wavelet}, level {level}", config, paper)


# The paper names families only; symlets 2 and 3 are Daubechies wavelets.
WAVELETS_OF_FIGURE_7 = ("haar", "db2", "sym4")
BACKBONE = _modules("none", 60.25)
STUDIES = (
    Study(
        "Table 2: modules and their order", "--table 2",
        (
            BACKBONE, _modules("asp", 61.88), _modules("sfp", 61.34), _modules("asp+sfp", 63.26),
            _modules("sfp+asp", 62.58), _modules("sfp-energy", None),
        ),
        (("ASP+SFP", "SFP+ASP", True), ("SFP-ENERGY", "SFP", False)),
    ),
    Study(
        "Table 3: directions of ASP", "--table 3",
        (
            BACKBONE, _directions("H", 61.43), _directions("V", 60.98),
            _directions("H+V", 61.57), _directions("FD", 60.72), _directions("BD", 60.93),
            _directions("FD+BD", 61.02), _directions("H+V+FD+BD", 61.88),
        ),
        (("H+V", "FD+BD", True), ("H+V+FD+BD", "H+V", True), ("H+V+FD+BD", "FD+BD", True)),
    ),
    Study(
        "Figure 7: wavelet and level of SFP", "--figure 7",
        (
            BACKBONE,
            *(_transform(name, level) for name in WAVELETS_OF_FIGURE_7 for level in LEVELS),
        ),
        (
            *((f"{name}, level 3", f"{name}, level 1", True) for name in WAVELETS_OF_FIGURE_7),
            ("db2, level 3", "haar, level 3", True), ("db2, level 3", "sym4, level 3", True),
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Budget:
    """What one run may cost.

    ``size`` px of the pictures, ``faces`` of Training (0: all), ``epochs`` over them, ``batch``,
    the peak learning rate ``lr``, and ``augment``, the strength of the random views.

    Raises:
        ValueError: a value is out of range; the message names them all.
    """

    size: int = 64
    faces: int = 0
    epochs: int = 1
    batch: int = 32
    lr: float = 0.002
    augment: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 32 or self.faces < 0 or self.epochs < 1 or self.batch < 2 or self.lr <= 0:
            raise ValueError(
                f"a budget needs 32 px, 1 epoch, batches of 2 and a rate above 0: {self}"
            )


@dataclass(frozen=True)
class Run:
    """One network trained once. ``accuracy`` is a fraction of the ``faces_measured``."""

    config: SplitConfig
    budget: Budget
    seed: int
    accuracy: float
    faces_measured: int
    loss: float
    parameters: int
    cpu_s: float
    torch: str = field(compare=False)

    @property
    def key(self) -> tuple[SplitConfig, Budget, int]:
        """What was asked for."""
        return self.config, self.budget, self.seed

    def line(self) -> str:
        """The run as one line of JSON."""
        return json.dumps(asdict(self))


def read_runs(path: Path) -> dict[tuple[SplitConfig, Budget, int], Run]:
    """The finished runs of a file, none where there is no file. A line cut short is left out.

    Raises:
        ValueError: a line is JSON, but not a run.
    """
    found = {}
    for row in _rows(path):
        try:
            config, budget = SplitConfig(**row.pop("config")), Budget(**row.pop("budget"))
            run = Run(config=config, budget=budget, **row)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} holds a line that is no run: {error}") from error
        found[run.key] = run
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # the process was killed while it wrote
            continue


def append_run(path: Path, run: Run) -> None:
    """Add a line; one that a kill cut short is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and path.read_text()[-1:] not in ("", "\n")
    with path.open("a") as file:
        file.write(("\n" if cut else "") + run.line() + "\n")
