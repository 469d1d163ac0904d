"""Learned group convolutions (CondenseNet, Huang et al., 2018; paper 000, Table 3).

A dense convolution loses its inputs in stages while it learns. Its filters stand in ``groups``
equal groups, and each group keeps the inputs it uses most: after ``factor`` - 1 stages, one of
``factor``. What is left is a real group convolution behind an index of the inputs that each group
kept, so that an input may serve several groups, or none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The share of the training in which inputs are dropped (CondenseNet, section 3.3).
CONDENSING = 0.5


class LearnedGroupConv(nn.Conv2d):
    """A 3x3 convolution with bias that condenses: ``(N, C, H, W)`` -> ``(N, O, H, W)``.

    Raises:
        ValueError: ``channels`` cannot be divided by ``factor``, or ``out_channels`` by ``groups``.
    """

    def __init__(self, channels: int, out_channels: int, groups: int, factor: int) -> None:
        if channels % factor or out_channels % groups:
            raise ValueError(
                f"{channels} inputs by {factor} and {out_channels} filters by {groups} "
                "do not come out even"
            )
        super().__init__(channels, out_channels, 3, padding=1)
        self.learned_groups, self.factor = groups, factor
        # Not floats: an average of weights takes them as they are.
        self.register_buffer("kept", torch.ones(groups, channels, dtype=torch.bool))

    @property
    def mask(self) -> Tensor:
        """Which weights there are, bool ``(O, C, 1, 1)``."""
        assert isinstance(self.kept, Tensor)
        filters = self.out_channels // self.learned_groups
        return self.kept.repeat_interleave(filters, dim=0)[:, :, None, None]

    @property
    def stage(self) -> int:
        """How many times inputs were dropped, 0 to ``factor`` - 1."""
        assert isinstance(self.kept, Tensor)
        return self.factor - int(self.kept[0].sum()) * self.factor // self.in_channels

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)

    def condense(self, progress: float) -> None:
        """Drop the inputs that are too many at this ``progress`` of the training, 0 to 1."""
        last = self.factor - 1
        wanted = min(last, int(last * progress / CONDENSING))
        if wanted > self.stage:
            self._keep(self.in_channels * (self.factor - wanted) // self.factor)

    @torch.no_grad()
    def _keep(self, most: int) -> None:
        """Each group keeps the ``most`` inputs whose weights have the largest sum of magnitudes."""
        assert isinstance(self.kept, Tensor)
        by_group = self.weight.abs().sum(dim=(2, 3)).view(self.learned_groups, -1, self.in_channels)
        used = by_group.sum(dim=1).masked_fill(~self.kept, -1.0)
        self.kept.zero_()
        self.kept.scatter_(1, used.topk(most, dim=1).indices, True)

    def penalty(self) -> Tensor:
        """Group lasso: the sum of the norms that each input has in each group, which draws a
        group's filters towards the same inputs."""
        squared = (self.weight * self.mask).square().sum(dim=(2, 3))
        by_group = squared.view(self.learned_groups, -1, self.in_channels).sum(dim=1)
        return (by_group + 1e-12).sqrt().sum()


class IndexedGroupConv(nn.Module):
    """What a condensed ``LearnedGroupConv`` is once it has learnt: an index and a group
    convolution, which give the same numbers.

    Raises:
        ValueError: it is not condensed to the end.
    """

    def __init__(self, learned: LearnedGroupConv) -> None:
        super().__init__()
        if learned.stage < learned.factor - 1:
            raise ValueError(
                f"condensed {learned.stage} of {learned.factor - 1} times: train it to the end"
            )
        groups = learned.learned_groups
        assert isinstance(learned.kept, Tensor)
        index = learned.kept.nonzero()[:, 1]
        self.register_buffer("index", index)
        self.conv = nn.Conv2d(len(index), learned.out_channels, 3, padding=1, groups=groups)
        kept = learned.kept.repeat_interleave(learned.out_channels // groups, dim=0)
        shape = self.conv.weight.shape
        self.conv.weight = nn.Parameter(learned.weight.detach()[kept].reshape(shape))
        assert learned.bias is not None
        self.conv.bias = nn.Parameter(learned.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, O, H, W)``."""
        assert isinstance(self.index, Tensor)
        out: Tensor = self.conv(x.index_select(1, self.index))
        return out


def learned_convolutions(network: nn.Module) -> list[LearnedGroupConv]:
    """Those of a network; none in most."""
    return [part for part in network.modules() if isinstance(part, LearnedGroupConv)]


def condense(network: nn.Module, progress: float) -> None:
    """Every learned group convolution at this ``progress`` of the training, 0 to 1."""
    for part in learned_convolutions(network):
        part.condense(progress)


def with_real_groups(network: nn.Module) -> nn.Module:
    """Replace, in place, every learned group convolution by what it condensed to.

    Raises:
        ValueError: one is not condensed to the end.
    """
    for part in list(network.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, LearnedGroupConv):
                setattr(part, name, IndexedGroupConv(child))
    return network
