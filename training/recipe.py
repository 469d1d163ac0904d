"""A recipe: the stages of one training run, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.models.bottleneck import RATES
from training.models.small_stem import DETAIL_PX
from training.models.split_model import SplitConfig

PARTS = ("stem", "encoder", "local", "cloud")


@dataclass(frozen=True)
class Stage:
    """Some epochs at one input size, with a learning rate that moves linearly.

    ``parts`` are trained; the others are frozen, batch statistics included, and a tail that is
    not named is not run. ``bf16`` runs under autocast; ``augment`` is the strength of the random
    views. After a teacher has seen it, a share ``degraded`` of them is blurred, darkened, covered
    or made small, and a share ``recropped`` passes through the product's crop once more.
    ``start_cloud`` first makes the bottleneck from the principal components of the features and the
    cloud's trunk from the local tail's weights, ``follow_local`` only decoder and trunk, so that
    the head stays; ``refit_statistics`` first measures every batch statistic anew at this size.
    ``start_lite`` first gives a cloud tail of EfficientNet-Lite0's blocks, or the ensemble's member
    of that kind, those of the teacher. ``latent_bytes`` is what a latent may cost by the prior, per
    rate and at this size: the weight of the rate term is moved until it does.
    ``together`` is the share of the loss that is of the mean of both tails' answers, where the
    cloud tail learns alone: it then learns most where the local one is wrong. Without
    ``latent_bytes`` there is no rate term.

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
    recropped: float = 0.0
    degraded: float = 0.0
    start_cloud: bool = False
    follow_local: bool = False
    start_lite: bool = False
    together: float = 0.0
    refit_statistics: bool = False
    latent_bytes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 32 or self.epochs < 1 or not set(self.parts) <= set(PARTS):
            raise ValueError(f"a stage needs 32 px, epochs and parts of {PARTS}: {self}")
        if not {"local", "cloud"} & set(self.parts):
            raise ValueError(f"a stage trains at least one tail: {self}")
        if not 0 <= self.recropped <= 1 or not 0 <= self.degraded <= 1:
            raise ValueError(f"recropped and degraded are shares from 0 to 1: {self}")
        if not 0 <= self.together <= 1 or (self.together and set(self.parts) != {"cloud"}):
            raise ValueError(f"together is a share from 0 to 1, of a cloud tail alone: {self}")
        if self.latent_bytes and len(self.latent_bytes) != len(RATES):
            raise ValueError(f"latent_bytes are one number for each rate of {RATES}: {self}")


@dataclass(frozen=True)
class Recipe:
    """One run: seed, optimiser (AdamW), model options and stages.

    ``start_from`` names the run whose weights this one starts with. ``mutual`` weighs the
    divergence of each tail from the mean of both (Zhang et al., 2018). ``average`` is the decay
    per step of the exponential moving average of the weights, which is what is measured and
    exported; 0 measures the weights themselves. ``teacher`` names a finished run, or several as
    ``a+b`` whose answers are averaged; the answer to the very view makes up ``teacher_share`` of
    each label (Hinton et al., 2015; Beyer et al., 2022). ``mixup`` is the parameter of the beta
    distribution that pairs of views and of their labels are mixed by (Zhang et al., 2018); 0 mixes
    none. ``label_weights`` weigh the loss of each label set; without them all weigh 1.

    Raises:
        ValueError: a share or the parameter is out of its range, or ``start_cloud`` is asked of
            another cloud tail.
    """

    stages: tuple[Stage, ...]
    seed: int = 0
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    start_from: str = ""
    mutual: float = 0.0
    average: float = 0.0
    teacher: str = ""
    teacher_share: float = 0.5
    mixup: float = 0.0
    label_weights: tuple[float, ...] = ()
    model: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.teacher_share <= 1 or self.mixup < 0:
            raise ValueError("teacher_share is from 0 to 1, and mixup not negative")
        if self.label_weights and len(self.label_weights) != len(self.model.label_sets):
            raise ValueError(f"label_weights are one number for each of {self.model.label_sets}")
        step = DETAIL_PX if self.model.stem == "small" else 32
        for stage in self.stages:
            if stage.size % step:
                raise ValueError(
                    f"stem {self.model.stem} takes sizes in steps of {step} px: {stage}"
                )
        copied = any(stage.start_cloud or stage.follow_local for stage in self.stages)
        if self.model.cloud != "shufflenet" and copied:
            raise ValueError(
                "start_cloud and follow_local copy ShuffleNetV2's stages: cloud must be shufflenet"
            )
        if self.model.cloud in ("lite", "ensemble"):
            if any(stage.size < 64 for stage in self.stages):
                raise ValueError(f"cloud {self.model.cloud} works on pictures of 64 px at least")
        elif any(stage.start_lite for stage in self.stages):
            raise ValueError("start_lite gives blocks to cloud lite or ensemble alone")
        if any(stage.start_lite for stage in self.stages) and not self.teacher:
            raise ValueError("start_lite needs a teacher")
        if self.model.cloud == "ensemble" and (self.mutual or any(s.together for s in self.stages)):
            raise ValueError("the members of an ensemble learn alone: no mutual, no together")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each label set in the loss."""
        return self.label_weights or (1.0,) * len(self.model.label_sets)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        ValueError: a key is unknown or a value is not offered.
    """
    try:
        table = tomllib.loads(path.read_text())
        stages = tuple(_stage(row) for row in table.pop("stage"))
        model = table.pop("model", {})
        if "label_sets" in model:
            model["label_sets"] = tuple(model["label_sets"])
        weights = tuple(table.pop("label_weights", ()))
        return Recipe(stages=stages, model=SplitConfig(**model), label_weights=weights, **table)
    except KeyError as error:
        raise ValueError(f"{path}: the key {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _stage(row: dict[str, Any]) -> Stage:
    lists = {"parts": tuple(row["parts"]), "latent_bytes": tuple(row.get("latent_bytes", ()))}
    return Stage(**{**row, **lists})
