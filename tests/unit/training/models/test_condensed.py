from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.models.condensed import (
    IndexedGroupConv,
    LearnedGroupConv,
    condense,
    with_real_groups,
)


def learned(
    seed: int = 0, channels: int = 32, groups: int = 4, factor: int = 4
) -> LearnedGroupConv:
    torch.manual_seed(seed)
    return LearnedGroupConv(channels, 8, groups, factor)


@given(
    seed=st.integers(0, 50), groups=st.sampled_from([1, 2, 4, 8]), factor=st.sampled_from([2, 4])
)
def test_real_groups_give_the_numbers_of_the_learned_ones(
    seed: int, groups: int, factor: int
) -> None:
    conv = learned(seed, 16, groups, factor)
    for progress in (0.1, 0.3, 0.5):
        conv.condense(progress)
    real, x = IndexedGroupConv(conv), torch.rand(2, 16, 5, 5)
    assert real.conv.groups == groups
    assert real.conv.weight.numel() * factor == conv.weight.numel()
    torch.testing.assert_close(real(x), conv(x))


def test_inputs_go_in_stages_over_the_first_half_of_the_training() -> None:
    conv, left = learned(factor=4), []
    for progress in (0.0, 0.1, 0.17, 0.34, 0.49, 0.5, 1.0):
        conv.condense(progress)
        left.append(conv.kept.sum(dim=1).unique().tolist())
    assert left == [[32], [32], [24], [16], [16], [8], [8]]


def test_a_group_keeps_the_inputs_that_it_uses_most() -> None:
    conv = learned(channels=4, groups=2, factor=2)
    with torch.no_grad():
        conv.weight.fill_(0.1)
        conv.weight[:4, 1:3] = 1.0  # the first group
        conv.weight[4:, [0, 3]] = -1.0
    conv.condense(1.0)
    assert conv.kept.tolist() == [[False, True, True, False], [True, False, False, True]]


def test_what_a_group_dropped_does_not_come_back() -> None:
    conv = learned(factor=4)
    conv.condense(0.17)
    gone = ~conv.kept.clone()
    with torch.no_grad():
        conv.weight[conv.mask.logical_not().expand_as(conv.weight)] = 100.0
    conv.condense(0.5)
    assert not (conv.kept & gone).any()
    conv(torch.rand(1, 32, 4, 4)).sum().backward()
    assert conv.weight.grad is not None
    dropped = conv.mask.logical_not().expand_as(conv.weight)
    assert conv.weight.grad[dropped].abs().sum() == 0


def test_the_penalty_knows_only_what_is_left() -> None:
    conv = learned(factor=4)
    before = conv.penalty().item()
    conv.condense(1.0)
    assert conv.penalty().item() < before / 2


def test_a_network_that_is_not_condensed_to_the_end_is_not_exported() -> None:
    network = nn.Sequential(learned(), nn.Sequential(learned(channels=8)))
    condense(network, 0.3)
    with pytest.raises(ValueError, match="condensed 1 of 3 times: train it to the end"):
        with_real_groups(network)
    condense(network, 0.6)
    real = with_real_groups(network)
    assert not [part for part in real.modules() if isinstance(part, LearnedGroupConv)]


def test_channels_that_do_not_come_out_even_are_refused() -> None:
    with pytest.raises(ValueError, match="33 inputs by 4"):
        LearnedGroupConv(33, 8, 4, 4)
