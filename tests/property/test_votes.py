"""Whatever people vote, what is made of it keeps to its ranges."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from splitfer.shared.labels import LABELS
from splitfer.shared.prior import balanced
from training.data.votes import COLUMNS, CONTEMPT, Votes

COUNTS = arrays(np.uint16, st.tuples(st.integers(0, 6), st.just(10)), elements=st.integers(0, 60))
# Sums of one, with zeros among them.
SHARES = arrays(np.float64, (5, 7), elements=st.floats(0, 1)).map(
    lambda rows: (rows + 1e-9) / (rows + 1e-9).sum(axis=1, keepdims=True)
)
PRIORS = arrays(np.float64, 7, elements=st.floats(1e-3, 1))


def literal_protocol(row: list[int]) -> str | None:
    """The definition, a picture at a time."""
    kept = {name: n for name, n in zip(COLUMNS, row, strict=True) if n != 1}
    for name, n in kept.items():
        if n > sum(kept.values()) / 2 and name not in ("unknown", "NF"):
            return name
    return None


@given(COUNTS)
def test_distributions_and_entropies(counts: NDArray[np.uint16]) -> None:
    votes = Votes(counts)
    some = votes.of_the_seven > 0
    np.testing.assert_allclose(votes.distribution.sum(axis=1), some, atol=1e-6)
    assert ((votes.entropy >= 0) & (votes.entropy <= math.log(7) + 1e-12)).all()
    assert not (votes.usable & ~some).any()


@given(COUNTS)
def test_the_protocol_is_its_definition(counts: NDArray[np.uint16]) -> None:
    names = {"anger": "angry", "happiness": "happy", "sadness": "sad"}
    labels, chosen = Votes(counts).protocol()
    for row, label, is_chosen in zip(counts.tolist(), labels, chosen, strict=True):
        name = literal_protocol(row)
        assert is_chosen == (name is not None)
        if name == "contempt":
            assert label == CONTEMPT
        else:
            assert label == (-1 if name is None else LABELS.index(names.get(name, name)))


@given(COUNTS)
def test_a_first_choice_has_the_most_votes(counts: NDArray[np.uint16]) -> None:
    votes = Votes(counts)
    labels, chosen = votes.plurality()
    found = votes.distribution[chosen]
    assert (found[np.arange(len(found)), labels[chosen]] == found.max(axis=1)).all()


@given(SHARES, PRIORS)
def test_an_even_prior_is_given_back_by_the_old_one(
    shares: NDArray[np.float64], prior: NDArray[np.float64]
) -> None:
    given_ = shares.astype(np.float32)
    found = balanced(given_, prior)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(balanced(found, 1 / prior), given_, atol=1e-4)
    # Only the ratios of a prior matter.
    np.testing.assert_allclose(balanced(given_, 100 * prior), found, atol=1e-6)
