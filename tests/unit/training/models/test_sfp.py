"""SFP against paper 001, section 3.3, with PyWavelets doing the transform."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from training.models.sfp import LEVELS, SFP, WAVELETS, frequency_mask


def literal_pool(x: Tensor, wavelet: str, levels: int) -> Tensor:
    """``(N, C, H, W)`` -> ``(N, C)``: chunk, level i on group i, keep LL_i, mean."""
    pooled = []
    for level, group in enumerate(torch.chunk(x, levels, dim=1), start=1):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Level value of .* is too high")
            ll = pywt.wavedec2(group.numpy().astype(np.float64), wavelet, level=level)[0]
        pooled.append(torch.from_numpy(ll.mean(axis=(2, 3))).float())
    return torch.cat(pooled, dim=1)


def literal(module: SFP, x: Tensor, wavelet: str, levels: int) -> Tensor:
    weights = torch.sigmoid(module.fc(literal_pool(x, wavelet, levels)))
    return x * weights[:, :, None, None]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("size", [(28, 28), (12, 16), (7, 9)], ids=str)
def test_equals_the_literal_module(wavelet: str, level: int, size: tuple[int, int]) -> None:
    torch.manual_seed(level)
    module, x = SFP(10, wavelet, level), torch.randn(2, 10, *size)
    with torch.no_grad():
        expected = literal(module, x, wavelet, level)
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)
        pooled = literal_pool(x, wavelet, level)
        torch.testing.assert_close(module.pool(x), pooled, rtol=1e-5, atol=1e-5)


def test_the_default_at_the_split_point() -> None:
    torch.manual_seed(0)
    module, x = SFP(116), torch.randn(1, 116, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(module(x), literal(module, x, "db2", 3), rtol=1e-5, atol=1e-5)


def test_the_papers_grouping() -> None:
    # Eight channels in three groups: 0-2, 3-5, 6-7.
    assert SFP(8, level=3).levels == [1, 1, 1, 2, 2, 2, 3, 3]


@pytest.mark.parametrize(("channels", "level"), [(1, 3), (2, 3), (2, 4), (3, 4), (5, 4)])
def test_groups_are_those_of_chunk_where_channels_are_few(channels: int, level: int) -> None:
    # torch.chunk gives fewer groups than asked for here: the last levels go unused.
    torch.manual_seed(0)
    module, x = SFP(channels, "db2", level), torch.randn(2, channels, 28, 28)
    groups = torch.arange(channels).chunk(level)
    assert len(module.levels) == channels
    assert module.levels[-1] == len(groups)
    with torch.no_grad():
        expected = literal(module, x, "db2", level)
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("level", "total"), [(1, 2.0), (2, 4.0)])
def test_haar_is_a_scaled_plain_mean_at_levels_1_and_2(level: int, total: float) -> None:
    mask = frequency_mask("haar", level, 28, 28)
    assert np.ptp(mask) < 1e-9
    assert mask.sum() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("level", [1, 2])
def test_a_periodic_map_has_no_border_to_weigh(wavelet: str, level: int) -> None:
    mask = frequency_mask(wavelet, level, 28, 28, "periodization")
    assert np.ptp(mask) < 1e-9
    assert mask.sum() == pytest.approx(2.0**level, rel=1e-5)


def test_the_padding_is_that_of_the_transform() -> None:
    module, x = SFP(6, "db2", 3, "periodization"), torch.rand(2, 6, 28, 28)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Level value of .* is too high")
        expected = pywt.wavedec2(x[:, 4:].numpy(), "db2", "periodization", 3)[0].mean(axis=(2, 3))
    np.testing.assert_allclose(module.pool(x)[:, 4:].numpy(), expected, rtol=1e-4)


def test_longer_wavelets_weigh_the_border() -> None:
    mask = frequency_mask("db2", 3, 28, 28) * 784 / 8  # 1 is the plain mean's weight
    inside = mask[8:20, 8:20]
    assert np.ptp(inside) < 0.35 * np.ptp(mask)
    total = frequency_mask("db2", 3, 28, 28).sum()
    assert total == pytest.approx(8.0, rel=1e-3)  # a constant passes LL_3 times 2 ** 3


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_constant_map_is_scaled_by_two_per_level(wavelet: str, level: int) -> None:
    assert frequency_mask(wavelet, level, 28, 28).sum() == pytest.approx(2.0**level, rel=1e-5)


def test_a_deep_level_on_a_small_map_does_not_warn() -> None:
    SFP(4, "db4", 4).pool(torch.zeros(1, 4, 4, 4))


@pytest.mark.parametrize(("wavelet", "level"), [("sym2", 3), ("db2", 0), ("db2", 5), ("", 1)])
def test_other_transforms_are_refused(wavelet: str, level: int) -> None:
    with pytest.raises(ValueError, match="haar, db2, db4, sym4 at levels 1 to 4"):
        SFP(8, wavelet, level)
