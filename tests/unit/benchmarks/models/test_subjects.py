from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from benchmarks.device.model_size import count_macs, parameters
from benchmarks.models.comparators import TORCHVISION, comparator
from benchmarks.models.efficient_face import EfficientFace
from benchmarks.models.subjects import TABLE_000_6, TABLES, Subject


def cost(subject: Subject) -> tuple[float, float]:
    """Millions of parameters and of multiply-accumulates."""
    assert subject.build is not None
    network = subject.build().eval()
    example = torch.zeros(1, subject.channels, subject.side_px, subject.side_px)
    return parameters(network) / 1e6, sum(count_macs(network, example).values()) / 1e6


def test_efficient_face_has_the_size_that_paper_001_gives_it() -> None:
    subject = Subject("EfficientFace", build=EfficientFace)
    millions, macs = cost(subject)
    assert round(millions, 2) == 1.28
    assert round(macs / 1000, 2) == 0.15
    network = EfficientFace().eval()
    assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 7)


def test_edgecnn_g_computes_what_its_groups_leave() -> None:
    own = {subject.name: subject for subject in TABLE_000_6}
    dense, grouped = cost(own["EdgeCNN"]), cost(own["EdgeCNN-G"])
    stem = 44 * 44 * 9 * 32 / 1e6
    assert dense == pytest.approx((0.419, 47.71), rel=1e-3)
    # A quarter of the first convolutions of its blocks and an eighth of the second ones.
    assert (dense[1] - stem) / 8 < grouped[1] - stem < (dense[1] - stem) / 4


def test_every_own_system_of_the_papers_has_a_row_that_is_built() -> None:
    built = {subject.trained_as for subject in TABLE_000_6 if subject.build}
    assert {"edgecnn", "edgecnn-g", "vgg19", "light-fer", "backbone"} <= built
    for table in TABLES.values():
        names = [subject.name for subject in table]
        assert len(set(names)) == len(names)


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
@pytest.mark.parametrize("name", ["SqueezeNet", "ShuffleNetV2"])
def test_torchvisions_networks_take_small_pictures(name: str) -> None:
    assert comparator(name).eval()(torch.zeros(1, 3, 44, 44)).shape == (1, 7)
    assert name in TORCHVISION
