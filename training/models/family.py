"""The papers' classifiers of faces of 44 px, by what a user calls them: float grey pictures
``(N, 1, 44, 44)`` in 0..255 -> logits ``(N, 7 L)`` of L label sets."""

from __future__ import annotations

from torch import nn

from training.models.condensed import with_real_groups
from training.models.edgecnn import EdgeCNN, EdgeCNNG
from training.models.light_fer import LightFER
from training.models.residual_vgg19 import ResidualVGG19

CLASSIFIERS: dict[str, type[nn.Module]] = {
    "edgecnn": EdgeCNN,  # paper 000
    "edgecnn-g": EdgeCNNG,  # paper 000
    "vgg19": ResidualVGG19,  # paper 003
    "light-fer": LightFER,  # paper 004
}


def deployed(network: nn.Module) -> nn.Module:
    """A trained classifier as it answers on a device: with real groups in the place of learned
    ones.

    Raises:
        ValueError: its training is not at the end.
    """
    return with_real_groups(network.eval())
