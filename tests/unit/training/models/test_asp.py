"""ASP against paper 001, section 3.2, followed to the letter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from training.models.asp import ASP, DIRECTIONS, line_index, line_means, parse_directions

Pixels = list[tuple[int, int]]
SUBSETS = [s for n in range(1, 5) for s in itertools.combinations(DIRECTIONS, n)]


def lines_of(direction: str, height: int, width: int) -> list[Pixels]:
    """The pixels of each line, in the order of equations 2 to 9."""
    inside = [(i, j) for i in range(height) for j in range(width)]
    keys: dict[str, tuple[Iterator[int], Callable[[int, int], int]]] = {
        "H": (iter(range(height)), lambda i, j: i),
        "V": (iter(range(width)), lambda i, j: j),
        # From the top left corner to the bottom right one (eq. 7).
        "FD": (iter(range(height + width - 1)), lambda i, j: i + j),
        # From the top right corner to the bottom left one (eq. 9).
        "BD": (iter(range(width - 1, -height, -1)), lambda i, j: j - i),
    }
    offsets, offset_of = keys[direction]
    return [[(i, j) for i, j in inside if offset_of(i, j) == offset] for offset in offsets]


def pool(x: Tensor, direction: str) -> Tensor:
    """``(C, H, W)`` -> ``(C, lines)``, pixel by pixel."""
    columns = []
    for line in lines_of(direction, *x.shape[1:]):
        columns.append(torch.stack([x[:, i, j] for i, j in line]).mean(dim=0))
    return torch.stack(columns, dim=1)


def literal_attention(module: ASP, x: Tensor) -> Tensor:
    """Pool every channel, concatenate, 1x1 convolution, sigmoid, split, broadcast, multiply."""
    c, height, width = x.shape
    result = torch.ones(height, width, dtype=x.dtype)
    for conv, pair in ((module.straight, ("H", "V")), (module.diagonal, ("FD", "BD"))):
        chosen = [d for d in pair if d in module.directions]
        if not chosen:
            continue
        assert conv is not None
        pooled = [pool(x, d) for d in chosen]
        joined = torch.cat(pooled, dim=1).view(1, c, -1, 1)
        weights = torch.sigmoid(conv(joined)).flatten()
        for direction, part in zip(
            chosen, weights.split([p.shape[1] for p in pooled]), strict=True
        ):
            full = torch.empty(height, width, dtype=x.dtype)
            for line, weight in zip(lines_of(direction, height, width), part, strict=True):
                for i, j in line:
                    full[i, j] = weight
            result = result * full
    return result


def test_worked_example_of_equations_2_to_9() -> None:
    x = torch.tensor([[1.0, 2, 4], [8, 16, 32], [64, 128, 256]]).reshape(1, 9)
    expected = {
        "H": [7 / 3, 56 / 3, 448 / 3],  # eq. 3
        "V": [73 / 3, 146 / 3, 292 / 3],  # eq. 5
        "FD": [1, (8 + 2) / 2, (64 + 16 + 4) / 3, (128 + 32) / 2, 256],  # eq. 7
        "BD": [4, (2 + 32) / 2, (1 + 16 + 256) / 3, (8 + 128) / 2, 64],  # eq. 9
    }
    for direction, means in expected.items():
        got = x @ torch.from_numpy(line_means(direction, 3, 3))
        torch.testing.assert_close(got, torch.tensor([means]), rtol=1e-6, atol=1e-6)


def test_lines_are_put_back_where_the_paper_says() -> None:
    # "x00 = x01 = x02 = z0^h" and "x10 = x01 = z1^fd"
    assert line_index("H", 3, 3).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert line_index("V", 3, 3).tolist() == [0, 1, 2] * 3
    assert line_index("FD", 3, 3).tolist() == [0, 1, 2, 1, 2, 3, 2, 3, 4]
    assert line_index("BD", 3, 3).tolist() == [2, 1, 0, 3, 2, 1, 4, 3, 2]


@pytest.mark.parametrize("directions", SUBSETS, ids="+".join)
@pytest.mark.parametrize("size", [(3, 3), (7, 7), (5, 9), (6, 2), (1, 4)], ids=str)
def test_equals_the_literal_module(directions: tuple[str, ...], size: tuple[int, int]) -> None:
    torch.manual_seed(len(directions))
    module = ASP(6, directions)
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        expected = torch.stack([literal_attention(module, picture) for picture in x])
        torch.testing.assert_close(module.attention(x)[:, 0], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(module(x), x * expected[:, None], rtol=1e-5, atol=1e-5)


def test_equals_the_literal_module_at_the_split_point() -> None:
    torch.manual_seed(1)
    module, x = ASP(116), torch.randn(1, 116, 28, 28)
    with torch.no_grad():
        expected = literal_attention(module, x[0])
        torch.testing.assert_close(module.attention(x)[0, 0], expected, rtol=1e-5, atol=1e-5)


def test_every_channel_gets_the_same_weight_between_0_and_1() -> None:
    module, x = ASP(4), torch.ones(1, 4, 5, 5)
    ratio = module(x)
    assert torch.equal(ratio[:, 0], ratio[:, 3])
    assert 0 < ratio.min().item() < ratio.max().item() + 1e-9 < 1


def test_unused_projection_is_not_there() -> None:
    assert ASP(4, ("H",)).diagonal is None
    assert ASP(4, ("BD",)).straight is None
    assert sum(p.numel() for p in ASP(116).parameters()) == 2 * 117


def test_directions_are_read_in_any_order() -> None:
    assert parse_directions("BD+H") == ("H", "BD")


@pytest.mark.parametrize("text", ["", "H+H", "H+X", "h", "H,V", "H+"])
def test_other_directions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"subset of H\+V\+FD\+BD"):
        parse_directions(text)


def test_a_module_without_directions_is_refused() -> None:
    with pytest.raises(ValueError, match="subset"):
        ASP(4, ())
