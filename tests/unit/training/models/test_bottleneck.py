from __future__ import annotations

import math

import pytest
import torch

from training.models.bottleneck import (
    LATENT_CHANNELS,
    RATES,
    SYMBOL_LIMIT,
    ZERO_SYMBOL,
    Decoder,
    Encoder,
    Gains,
    Prior,
    dequantise,
    quantise,
)


def latent(n: int = 2, side: int = 6, spread: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, LATENT_CHANNELS, side, side, generator=generator) * spread


def test_whole_numbers_survive_the_round_trip() -> None:
    z = torch.arange(-SYMBOL_LIMIT, SYMBOL_LIMIT + 1.0)[:8].view(1, 8, 1, 1)
    y = quantise(z, torch.ones(8))
    assert y.flatten().tolist() == list(range(ZERO_SYMBOL - SYMBOL_LIMIT, 121))
    assert torch.equal(dequantise(y, torch.ones(1, 8)), z)


def test_halves_go_to_even() -> None:
    z = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]).view(1, 8, 1, 1)
    assert (quantise(z, torch.ones(8)) - ZERO_SYMBOL).flatten().tolist() == [
        -2, -2, 0, 0, 2, 2, 4, 4,
    ]  # fmt: skip


def test_the_range_saturates() -> None:
    z = torch.tensor([-1e6, -15.6, -15.4, 0.0, 15.4, 15.6, 1e6, math.inf]).view(1, 8, 1, 1)
    assert (quantise(z, torch.ones(8)) - ZERO_SYMBOL).flatten().tolist() == [
        -15, -15, -15, 0, 15, 15, 15, 15,
    ]  # fmt: skip


@pytest.mark.parametrize("rate", range(len(RATES)))
def test_the_error_inside_the_range_is_at_most_half_a_step_of_its_rate(rate: int) -> None:
    gains = Gains()
    z = latent()
    v, y_hat = gains(z, rate)
    gain = gains.gains()[rate].view(1, -1, 1, 1)
    assert ((y_hat - z).abs() * gain).max().item() <= 0.5 + 1e-5
    torch.testing.assert_close(v, v.round(), atol=1e-5, rtol=0)


def test_a_lower_rate_is_coarser() -> None:
    gains = Gains().gains()
    assert bool((gains[:-1] > gains[1:]).all())


def test_rounding_passes_the_gradient_to_the_encoder() -> None:
    z = latent().requires_grad_()
    gains = Gains()
    gains(z, 1)[1].sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.ones_like(z))


def test_shapes() -> None:
    features = torch.zeros(2, 116, 28, 28)
    z = Encoder(116)(features)
    assert z.shape == (2, 8, 28, 28)
    assert Decoder(116)(z).shape == features.shape


def test_the_prior_counts_bits_as_the_logistic_law_says() -> None:
    torch.manual_seed(0)
    prior = Prior()
    with torch.no_grad():
        prior.location.normal_(0, 0.05)
        prior.spread.uniform_(0, 0.05)
    v = latent(1, 4, 1.0).round()
    total = 0.0
    rows = slice(LATENT_CHANNELS, 2 * LATENT_CHANNELS)
    location, spread = (p.detach()[rows] * prior.mask for p in (prior.location, prior.spread))
    padded = torch.nn.functional.pad(v, (1, 1, 1, 1))[0]
    for c in range(LATENT_CHANNELS):
        for i in range(4):
            for j in range(4):
                near = padded[:, i : i + 3, j : j + 3]
                mu = (location[c] * near).sum().item() + prior.location_bias[1, c].item()
                raw = (spread[c] * near.abs()).sum().item() + prior.spread_bias[1, c].item()
                scale = max(math.log1p(math.exp(4 * raw)) / 4, 0.05)

                def below(x: float, mu: float = mu, scale: float = scale) -> float:
                    return 1 / (1 + math.exp(-(x - mu) / scale))

                share = below(v[0, c, i, j].item() + 0.5) - below(v[0, c, i, j].item() - 0.5)
                total -= math.log2(max(share, 1e-6))
    assert prior.bits(v, 1).item() == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize(("channel", "row", "column"), [(0, 2, 2), (3, 0, 5), (7, 5, 0)])
def test_the_prior_sees_only_what_was_coded_before(channel: int, row: int, column: int) -> None:
    torch.manual_seed(0)
    prior = Prior()
    with torch.no_grad():
        prior.location.normal_(0, 0.1)
        prior.spread.normal_(0, 0.1)
    v = latent(1).round()
    place = (channel * 6 + row) * 6 + column
    changed = v.clone()
    changed.view(-1)[place] += 3

    def each(x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        location = torch.nn.functional.conv2d(
            x, prior.location[:8] * prior.mask, prior.location_bias[0], padding=1
        )
        return location.detach().flatten()

    moved = (each(v) != each(changed)).nonzero().flatten()
    assert len(moved)
    assert int(moved.min()) > place
