from __future__ import annotations

import itertools

import pytest

from training.models.architecture import config_of
from training.models.split_model import CLOUD_TAILS, MODULES, STEMS, SplitConfig, SplitModel

BOTH = ("crowd", "fer2013")


def shapes_of(config: SplitConfig) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in SplitModel(config).state_dict().items()}


@pytest.mark.parametrize(
    ("cloud", "stem", "label_sets"),
    list(itertools.product(CLOUD_TAILS, STEMS, (("fer2013",), BOTH))),
)
def test_a_network_is_known_by_its_parameters(
    cloud: str, stem: str, label_sets: tuple[str, ...]
) -> None:
    modules = "none" if cloud == "ensemble" else SplitConfig.modules
    config = SplitConfig(cloud=cloud, stem=stem, label_sets=label_sets, modules=modules)
    assert config_of(shapes_of(config)) == config


@pytest.mark.parametrize("modules", MODULES)
def test_its_attention_too(modules: str) -> None:
    config = SplitConfig(cloud="residual", modules=modules)
    assert config_of(shapes_of(config)) == config


def test_half_of_the_directions_of_asp() -> None:
    config = SplitConfig(modules="asp", directions="FD+BD")
    assert config_of(shapes_of(config)) == config


def test_another_number_of_logits_is_of_no_network() -> None:
    with pytest.raises(ValueError, match="with 9 logits"):
        config_of({"cloud_tail.classifier.weight": (9, 256)})
