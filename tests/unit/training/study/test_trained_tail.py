from __future__ import annotations

import pytest
import torch

from splitfer.shared.weights import Weights
from splitfer.shared.weights.store import default_folder
from training.models.split_model import CloudTail, SplitConfig
from training.study.trained_tail import Held, held, trained_tail


def tail_and_latents() -> tuple[CloudTail, torch.Tensor]:
    torch.manual_seed(0)
    tail = CloudTail(SplitConfig()).eval()
    with torch.no_grad():
        for name, parameter in tail.attention.named_parameters():
            if name.endswith("weight"):
                parameter.normal_(0, 1)
    return tail, torch.randn(5, 8, 28, 28)


@torch.no_grad()
def test_a_tail_that_keeps_both_answers_as_before() -> None:
    tail, y_hat = tail_and_latents()
    assert torch.equal(held(tail, {"asp", "sfp"}, y_hat)(y_hat), tail(y_hat))


@torch.no_grad()
def test_a_module_that_is_held_gives_its_mean_to_every_face() -> None:
    tail, y_hat = tail_and_latents()
    asp, sfp = tail.attention
    features = tail.decoder(y_hat)
    still = held(tail, {"sfp"}, y_hat)
    assert isinstance(still.attention[0], Held)
    mean = asp.attention(features).mean(dim=0, keepdim=True)
    x = features * mean
    x = x * sfp.attention(x)
    torch.testing.assert_close(still(y_hat), tail.trunk(x))
    # Held at what it gave after the module before it, which answered then.
    still = held(tail, {"asp"}, y_hat)
    x = features * asp.attention(features)
    torch.testing.assert_close(still(y_hat), tail.trunk(x * sfp.attention(x).mean(0, keepdim=True)))


@torch.no_grad()
def test_one_face_alone_is_its_own_mean() -> None:
    tail, y_hat = tail_and_latents()
    one = y_hat[:1]
    torch.testing.assert_close(held(tail, set(), one)(one), tail(one))


def test_what_is_held_is_not_trained() -> None:
    tail, y_hat = tail_and_latents()
    still = held(tail, set(), y_hat)
    assert not any(name.startswith("attention") for name, _ in still.named_parameters())
    assert len(list(tail.attention.parameters())) > 0  # the tail that was given stays


@torch.no_grad()
def test_the_shipped_tail_answers_as_its_file() -> None:
    weights = Weights(default_folder())
    values = torch.randint(-3, 4, (4, 8, 28, 28), generator=torch.Generator().manual_seed(0))
    steps = weights.quantiser.steps(1)
    y_hat = values.float() * torch.from_numpy(steps)[:, None, None]
    found = trained_tail(weights, "paper", y_hat)(y_hat)
    symbols = (values + 128).byte().numpy()
    theirs = weights.tail("paper", 1).all_logits(symbols, steps)
    for at, name in enumerate(SplitConfig(label_sets=("crowd", "fer2013")).label_sets):
        label_set = next(one for one in theirs if one.value == name)
        torch.testing.assert_close(
            found[:, 7 * at : 7 * at + 7],
            torch.from_numpy(theirs[label_set]),
            atol=0.05,
            rtol=0.01,
        )


def test_a_tail_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no cloud tail 'none'"):
        trained_tail(Weights(default_folder()), "none", torch.zeros(1, 8, 28, 28))
