"""The paper's ablations as data: which networks are compared, on what budget, and what came out.

A finished run is one JSON line, so a study can be stopped and gone on with, and studies share the
runs that they have in common.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.models.sfp import LEVELS
from training.models.split_model import LABEL_SETS, SplitConfig

RUNS = Path("training/ablations/runs.jsonl")
# Parts of a budget that no flag of its own says.
NOT_ASKED = ("weights", "start")
PRECISIONS = ("float32", "bfloat16")


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
    that the first is better (else it says nothing of the two). ``start`` is the cloud tail that all
    begin as, with the modules that they lack held at their means; empty: from random weights.
    """

    title: str
    flag: str
    variants: tuple[Variant, ...]
    pairs: tuple[tuple[str, str, bool], ...]
    start: str = ""


def config(**options: Any) -> SplitConfig:
    """A network of a study: paper 001's tail, with an output for each label set."""
    return SplitConfig(label_sets=LABEL_SETS, **options)


def _modules(modules: str, paper: float | None, padding: str = "symmetric") -> Variant:
    name = "backbone only" if modules == "none" else modules.upper()
    if padding != "symmetric":
        name += f", {padding}"
    return Variant(name, config(modules=modules, padding=padding), paper)


def _directions(directions: str, paper: float) -> Variant:
    return Variant(directions, config(modules="asp", directions=directions), paper)


def _transform(wavelet: str, level: int) -> Variant:
    # The figure's values are not printed in the text, but this one is Table 2's.
    paper = 61.34 if (wavelet, level) == ("db2", 3) else None
    return Variant(
        f"{wavelet}, level {level}", config(modules="sfp", wavelet=wavelet, level=level), paper
    )


# The paper names families only; symlets 2 and 3 are Daubechies wavelets.
WAVELETS_OF_FIGURE_7 = ("haar", "db2", "sym4")
BACKBONE = _modules("none", 60.25)
STUDIES = (
    Study(
        "What a trained tail owes to its modules", "--trained",
        (
            Variant("both held", config(modules="none")),
            Variant("SFP held", config(modules="asp")),
            Variant("ASP held", config(modules="sfp")),
            Variant("both answer", config(modules="asp+sfp")),
        ),
        (("both answer", "SFP held", False), ("both answer", "ASP held", False)),
        start="paper",
    ),
    Study(
        "Table 2: modules and their order", "--table 2",
        (
            BACKBONE, _modules("asp", 61.88), _modules("sfp", 61.34), _modules("asp+sfp", 63.26),
            _modules("sfp+asp", 62.58), _modules("sfp-energy", None),
            _modules("sfp", None, "periodization"),
        ),
        (
            ("ASP+SFP", "SFP+ASP", True), ("SFP-ENERGY", "SFP", False),
            ("SFP, periodization", "SFP", False),
        ),
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

    ``weights``: the fingerprint of those whose head made the latents. ``faces`` of Training (0:
    all), with ``views`` latents of each, of the strength ``augment``; ``epochs`` over the faces,
    ``batch``, and the peak learning rate ``lr``. ``precision``: of the training's products,
    ``float32`` or ``bfloat16``; every network is measured in float32.

    Raises:
        ValueError: a value is out of range; the message names them all.
    """

    weights: str
    faces: int = 6_000
    views: int = 6
    epochs: int = 15
    batch: int = 64
    lr: float = 0.003
    augment: float = 0.8
    precision: str = "bfloat16"
    start: str = ""

    @property
    def seeds(self) -> int:
        """How many runs of one network show what it is worth, at least: what is not trained comes
        out the same each time, and one seed shows no spread."""
        return 2 if self.epochs else 1

    def __post_init__(self) -> None:
        if (
            self.faces < 0
            or self.epochs < (not self.start)
            or self.views < 1
            or self.batch < 2
            or self.lr <= 0
        ):
            raise ValueError(
                f"a budget needs 1 epoch, 1 view, batches of 2 and a rate above 0: {self}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}: {self.precision}")


@dataclass(frozen=True)
class Right:
    """Which faces one network was right about, in one label set, of those that count in it: in the
    data's order, eight to a byte, in base64. So any two runs can be compared face by face."""

    faces: int
    bits: str

    @classmethod
    def of(cls, right: NDArray[np.bool_]) -> Right:
        """From bool ``(N,)``."""
        return cls(len(right), base64.b64encode(np.packbits(right).tobytes()).decode())

    def array(self) -> NDArray[np.bool_]:
        """Bool ``(N,)``."""
        packed = np.frombuffer(base64.b64decode(self.bits), np.uint8)
        return np.unpackbits(packed, count=self.faces).astype(np.bool_)


@dataclass(frozen=True)
class Run:
    """One network trained once, and by label set what it was right about."""

    config: SplitConfig
    budget: Budget
    seed: int
    right: dict[str, Right]
    loss: float | None
    parameters: int
    cpu_s: float
    torch: str = field(compare=False)

    @property
    def key(self) -> tuple[SplitConfig, Budget, int]:
        """What was asked for."""
        return self.config, self.budget, self.seed

    def accuracy(self, label_set: str) -> float:
        """Share of right answers among the faces that count in this label set."""
        return float(self.right[label_set].array().mean())

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
            right = {name: Right(**one) for name, one in row.pop("right").items()}
            run = Run(config=config, budget=budget, right=right, **row)
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
