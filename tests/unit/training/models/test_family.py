from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from splitfer.shared.weights.runtime import Tail
from training.export.onnx import export_crop_classifier
from training.models.condensed import condense
from training.models.crop_classifier import SIZE_PX, CropClassifier
from training.models.edgecnn import EdgeCNN
from training.models.family import CLASSIFIERS, deployed
from training.models.light_fer import LightFER
from training.models.residual_vgg19 import ResidualVGG19

ALL = pytest.mark.parametrize("name", CLASSIFIERS)


def made(name: str, label_sets: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return CLASSIFIERS[name](label_sets)


def shapes(network: nn.Module, parts: list[nn.Module]) -> list[tuple[int, ...]]:
    seen: list[tuple[int, ...]] = []

    def look(_: nn.Module, __: object, out: Tensor) -> None:
        seen.append(tuple(out.shape[1:]))

    for part in parts:
        part.register_forward_hook(look)
    network.eval()(torch.zeros(2, 1, SIZE_PX, SIZE_PX))
    return seen


def parameters(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


@ALL
def test_logits_of_each_label_set_and_light_changes_nothing(name: str) -> None:
    network, faces = made(name).eval(), torch.rand(3, 1, SIZE_PX, SIZE_PX) * 100 + 50
    logits = network(faces)
    assert logits.shape == (3, 14)
    torch.testing.assert_close(network(faces * 1.4 + 20), logits, atol=1e-3, rtol=1e-2)


@ALL
def test_the_exported_file_answers_as_torch_does(name: str) -> None:
    network = made(name)
    condense(network, 1.0)
    classifier = CropClassifier(deployed(network), SIZE_PX).eval()
    crops = np.random.default_rng(0).integers(0, 256, (2, 1, 224, 224), dtype=np.uint8)
    tail = Tail(export_crop_classifier(classifier, ("crowd", "fer2013")), 1)
    with torch.no_grad():
        wanted = classifier(torch.from_numpy(crops)).numpy()
    found = np.concatenate(list(tail.all_logits(crops).values()), axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max() + 1e-5)


def test_edgecnn_g_has_a_fraction_of_edgecnns_weights_on_a_device() -> None:
    network = made("edgecnn-g")
    assert parameters(network) == parameters(EdgeCNN(2))
    condense(network, 1.0)
    assert parameters(deployed(network)) < 0.3 * parameters(EdgeCNN(2))


def test_vgg19_adds_to_each_block_its_input() -> None:
    network = ResidualVGG19(1)
    blocks = list(network.stages)[::2]
    assert shapes(network, blocks) == [
        (64, 44, 44), (128, 22, 22), (256, 11, 11), (512, 5, 5), (512, 2, 2),
    ]  # fmt: skip
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert sum(one.kernel_size == (3, 3) for one in convolutions) == 16
    last = blocks[-1]
    for part in last.layers.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.zeros_(part.weight)
    x = torch.rand(1, 512, 2, 2)
    torch.testing.assert_close(last.eval()(x), x)


def test_light_fer_is_xception_without_its_first_two_reductions() -> None:
    network = LightFER(1, width=1.0)
    assert shapes(network, [network.stem, *network.blocks, network.exit]) == [
        (64, 44, 44), (128, 22, 22), (256, 11, 11), (728, 6, 6), *[(728, 6, 6)] * 8,
        (1024, 3, 3), (2048, 3, 3),
    ]  # fmt: skip
    # Xception has 20.8 million parameters beside the 2 of ImageNet's classes.
    assert 20.7e6 < parameters(network) < 20.9e6
    assert 5.2e6 < parameters(LightFER(1)) < 5.3e6
