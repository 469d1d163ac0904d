"""A recipe: the stages of one training run, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from shared.models.split_model import SplitConfig

PARTS = ("stem", "encoder", "local", "cloud")


@dataclass(frozen=True)
class Stage:
    """Some epochs at one input size, with a learning rate that moves linearly.

    ``parts`` are trained; the others are frozen, batch statistics included, and a tail that is
    not named is not run. ``bf16`` runs under autocast; ``augment`` is the strength of the random
    views. ``start_cloud`` first makes the bottleneck from the principal components of the features
    and the cloud's trunk from the local tail's weights;
    ``refit_statistics`` first measures every batch statistic anew at this size.

    Raises:
        ValueError: a value is not offered; the message names it.
    """

    size: int
    epochs: int
    lr_first: float
    lr_last: float
    parts: tuple[str, ...]
    batch: int = 128
    warm_up_steps: int = 0
    bf16: bool = True
    augment: float = 1.0
    start_cloud: bool = False
    refit_statistics: bool = False

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32 or self.epochs < 1 or not set(self.parts) <= set(PARTS):
            raise ValueError(
                f"a stage needs a size in steps of 32, epochs and parts of {PARTS}: {self}"
            )
        if not {"local", "cloud"} & set(self.parts):
            raise ValueError(f"a stage trains at least one tail: {self}")


@dataclass(frozen=True)
class Recipe:
    """One run: seed, optimiser (AdamW), model options and stages.

    ``start_from`` names the run whose last weights this one starts with. ``average`` is the decay
    per step of the exponential moving average of the weights, which is what is measured and
    exported; 0 measures the weights themselves.
    """

    stages: tuple[Stage, ...]
    seed: int = 0
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    start_from: str = ""
    average: float = 0.0
    model: SplitConfig = field(default_factory=SplitConfig)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        ValueError: a key is unknown or a value is not offered.
    """
    try:
        table = tomllib.loads(path.read_text())
        stages = tuple(Stage(**{**s, "parts": tuple(s["parts"])}) for s in table.pop("stage"))
        return Recipe(stages=stages, model=SplitConfig(**table.pop("model", {})), **table)
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
