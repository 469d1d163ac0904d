"""SFP of magnitudes, with PyWavelets doing the transform."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from splitfer.shared.weights.runtime import session
from training.export.onnx import ExportedCloudTail, export_cloud_tail
from training.models.sfp import LEVELS, WAVELETS
from training.models.sfp_energy import SFPEnergy


def literal_pool(x: Tensor, wavelet: str, levels: int) -> Tensor:
    """``(N, C, H, W)`` -> ``(N, 2C)``: chunk, level i on group i, means of magnitudes."""
    low, high = [], []
    for level, group in enumerate(torch.chunk(x, levels, dim=1), start=1):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Level value of .* is too high")
            ll, details, *_ = pywt.wavedec2(group.numpy().astype(np.float64), wavelet, level=level)
        low.append(np.abs(ll).mean(axis=(2, 3)))
        high.append(np.mean([np.abs(band).mean(axis=(2, 3)) for band in details], axis=0))
    return torch.from_numpy(np.concatenate(low + high, axis=1)).float()


def literal(module: SFPEnergy, x: Tensor, wavelet: str, levels: int) -> Tensor:
    weights = torch.sigmoid(module.fc(literal_pool(x, wavelet, levels)))
    return x * weights[:, :, None, None]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("size", [(28, 28), (12, 12), (8, 8), (7, 9)], ids=str)
def test_equals_the_literal_module(wavelet: str, level: int, size: tuple[int, int]) -> None:
    torch.manual_seed(level)
    module, x = SFPEnergy(10, wavelet, level), torch.randn(2, 10, *size)
    with torch.no_grad():
        pooled = literal_pool(x, wavelet, level)
        torch.testing.assert_close(module.pool(x), pooled, rtol=1e-5, atol=1e-5)
        expected = literal(module, x, wavelet, level)
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [20, 28])
def test_the_default_at_the_split_point(size: int) -> None:
    torch.manual_seed(0)
    module, x = SFPEnergy(116), torch.randn(1, 116, size, size)
    with torch.no_grad():
        torch.testing.assert_close(module(x), literal(module, x, "db2", 3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("channels", "level"), [(1, 3), (2, 4), (5, 4)])
def test_groups_are_those_of_chunk_where_channels_are_few(channels: int, level: int) -> None:
    torch.manual_seed(0)
    module, x = SFPEnergy(channels, "db2", level), torch.randn(2, channels, 28, 28)
    with torch.no_grad():
        expected = literal(module, x, "db2", level)
        torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)


def test_it_hears_a_texture_that_a_mean_cannot() -> None:
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(14, 14)[None, None]
    pool = SFPEnergy(1, "haar", 1).pool
    flat, textured = pool(torch.zeros_like(board))[0], pool(board)[0]
    assert flat.tolist() == [0, 0]
    assert textured[0] == pytest.approx(0, abs=1e-6)
    assert textured[1] == pytest.approx(2 / 3)


def test_it_is_exported() -> None:
    torch.manual_seed(0)
    module = SFPEnergy(8).eval()
    rng = np.random.default_rng(0)
    latent = rng.integers(113, 144, (3, 8, 28, 28), dtype=np.uint8)
    step = rng.uniform(0.5, 2, (3, 8)).astype(np.float32)
    with torch.no_grad():
        expected = ExportedCloudTail(module)(torch.from_numpy(latent), torch.from_numpy(step))
    found = session(export_cloud_tail(module), 1).run(None, {"latent": latent, "step": step})[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("wavelet", "level"), [("sym2", 3), ("db2", 0), ("db2", 5), ("", 1)])
def test_other_transforms_are_refused(wavelet: str, level: int) -> None:
    with pytest.raises(ValueError, match="haar, db2, db4, sym4 at levels 1 to 4"):
        SFPEnergy(8, wavelet, level)
