from __future__ import annotations

import torch

from shared.models.bottleneck import Decoder, Encoder, dequantise, quantise, straight_through


def test_whole_numbers_survive_the_round_trip() -> None:
    z = torch.arange(-128.0, 128.0)
    y = quantise(z)
    assert y.tolist() == list(range(256))
    assert torch.equal(dequantise(y), z)


def test_halves_go_to_even() -> None:
    z = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert dequantise(quantise(z)).tolist() == [-2, -2, 0, 0, 2, 2]


def test_the_range_saturates() -> None:
    z = torch.tensor([-1e6, -128.6, 127.4, 127.5, 1e6, float("inf")])
    assert quantise(z).tolist() == [0, 0, 255, 255, 255, 255]


def test_the_error_inside_the_range_is_at_most_half_a_step() -> None:
    z = torch.linspace(-128, 127, 5001)
    assert (dequantise(quantise(z)) - z).abs().max().item() <= 0.5


def test_straight_through_rounds_forward_and_passes_the_gradient() -> None:
    z = torch.linspace(-140, 140, 1001, requires_grad=True)
    y_hat = straight_through(z)
    torch.testing.assert_close(y_hat, dequantise(quantise(z)), rtol=0, atol=1e-4)
    weight = torch.linspace(-1, 1, 1001)
    (y_hat * weight).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weight)


def test_shapes() -> None:
    features = torch.zeros(2, 116, 28, 28)
    z = Encoder(116)(features)
    assert z.shape == (2, 8, 28, 28)
    assert Decoder(116)(z).shape == features.shape
