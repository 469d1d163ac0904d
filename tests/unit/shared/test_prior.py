from __future__ import annotations

import numpy as np
import pytest

from splitfer.shared.prior import balanced, drawn_to_prior


def test_bayes_rule_by_hand() -> None:
    probabilities = np.array([[0.6, 0.4, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]], np.float32)
    prior = np.array([0.6, 0.1, 0.06, 0.06, 0.06, 0.06, 0.06])
    # 0.6 / 0.6 against 0.4 / 0.1.
    expected = [[0.2, 0.8, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(balanced(probabilities, prior), expected, atol=1e-6)


def test_an_even_prior_changes_nothing() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 20).astype(np.float32)
    np.testing.assert_allclose(balanced(probabilities, np.full(7, 1 / 7)), probabilities, atol=1e-6)
    assert balanced(probabilities[:0], np.full(7, 1 / 7)).shape == (0, 7)


def test_rare_labels_are_found_more_often_and_the_mean_recall_rises() -> None:
    rng = np.random.default_rng(1)
    prior = np.array([0.3, 0.02, 0.04, 0.3, 0.24, 0.05, 0.05])
    labels = rng.choice(7, 40_000, p=prior)
    seen = rng.normal(size=(len(labels), 7)) + 1.5 * np.eye(7)[labels]
    # The posterior of these normal scores is known: calibrated probabilities.
    weights = prior * np.exp(1.5 * seen)
    probabilities = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)

    def recall(answers: np.ndarray) -> float:
        return float(np.mean([(answers[labels == k] == k).mean() for k in range(7)]))

    natural = probabilities.argmax(axis=1)
    even = balanced(probabilities, prior).argmax(axis=1)
    assert recall(even) > recall(natural) + 0.05
    assert (even == labels).mean() < (natural == labels).mean()


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (np.full(8, 0.125), r"a prior of shape \(8,\) for 7 probabilities"),
        (np.array([0.5, 0.5, 0, 0, 0, 0, 0]), "above zero"),
        (np.full(7, np.nan), "finite"),
        (np.full(7, -0.1), "above zero"),
    ],
)
def test_a_prior_that_is_none(prior: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balanced(np.full((1, 7), 1 / 7, np.float32), prior)


def test_a_picture_that_shows_nothing_leaves_the_prior() -> None:
    probabilities = np.array([0.94, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01])
    prior = np.array([0.1, 0.1, 0.1, 0.3, 0.2, 0.1, 0.1])
    drawn = drawn_to_prior(probabilities, prior, np.array([1.0, 0.5, 0.0]))
    np.testing.assert_allclose(drawn[0], probabilities)
    np.testing.assert_allclose(drawn[1], (probabilities + prior) / 2)
    np.testing.assert_allclose(drawn[2], prior)
    np.testing.assert_allclose(drawn_to_prior(probabilities, 9 * prior, 0.5), drawn[1])
