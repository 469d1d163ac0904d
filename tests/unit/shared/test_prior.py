from __future__ import annotations

import numpy as np
import pytest

from shared.contracts import Answer
from shared.labels import LABELS, LabelSet
from shared.prior import Prior, balanced

PRIOR = (0.14, 0.02, 0.14, 0.25, 0.17, 0.17, 0.11)


def test_what_training_says_alone_says_nothing_once_it_is_taken_out() -> None:
    even = balanced(np.array([PRIOR], np.float32), np.array(PRIOR))
    assert even.dtype == np.float32
    np.testing.assert_allclose(even, np.full((1, 7), 1 / 7), rtol=1e-6)


def test_an_even_prior_changes_nothing_and_a_rare_class_gains() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(7), 5)
    np.testing.assert_allclose(balanced(rows, np.full(7, 1 / 7)), rows, rtol=1e-5)
    after = balanced(rows, np.array(PRIOR))
    np.testing.assert_allclose(after.sum(1), 1, rtol=1e-6)
    assert (after[:, 1] > rows[:, 1]).all(), "disgust is rare"


def test_an_answer_is_balanced_once() -> None:
    answer = Answer((0.1, 0.15, 0.1, 0.35, 0.1, 0.1, 0.1), "f/cloud", LabelSet.CROWD)
    assert answer.label == "happy"
    after = answer.balanced(PRIOR)
    assert (after.label, after.prior, after.labels) == ("disgust", Prior.BALANCED, LabelSet.CROWD)
    assert sum(after.probabilities) == pytest.approx(1)
    assert after.balanced(PRIOR) == after
    assert len(after.probabilities) == len(LABELS)
