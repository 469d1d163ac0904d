from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.fit.prune import GROWING, MagnitudePruner, prunable


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.Conv2d(8, 64, 3),
        nn.Conv2d(64, 64, 3, groups=64),
        nn.Conv2d(64, 64, 1),
        nn.Flatten(),
        nn.Linear(64, 7),
    )


def test_first_depthwise_and_last_layers_keep_all_their_weights() -> None:
    assert list(prunable(network())) == ["1", "3"]


@given(share=st.floats(0, 0.95), progress=st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_the_share_grows_to_what_was_asked_for_and_stays(
    share: float, progress: list[float]
) -> None:
    pruner = MagnitudePruner(network(), share)
    earlier, later = map(pruner.wanted, sorted(progress))
    assert 0 <= earlier <= later <= share
    assert pruner.wanted(0) == 0
    assert pruner.wanted(GROWING) == pruner.wanted(1) == pytest.approx(share)


def test_the_smallest_weights_of_each_layer_become_zero() -> None:
    model = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pruner, state = MagnitudePruner(model, 0.5), model.state_dict()
    before = {name: state[name].abs().clone() for name in pruner.masks}
    pruner.advance(state, 1.0)
    pruner.apply(state)
    for name, magnitudes in before.items():
        zero = state[name] == 0
        assert zero.float().mean() == 0.5
        assert magnitudes[zero].max() <= magnitudes[~zero].min()


@pytest.mark.parametrize("share", [-0.1, 1.0, 5.0])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to less than 1"):
        MagnitudePruner(network(), share)
