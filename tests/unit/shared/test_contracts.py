from __future__ import annotations

import pytest

from splitfer.shared.contracts import (
    FEATURES_SHAPE,
    LATENT_SHAPE,
    Answer,
    AnswerPath,
    Box,
    FaceAnswer,
    Reason,
    trust_in,
)
from splitfer.shared.labels import LABELS, LabelSet


def test_the_latent_is_the_papers_6272_bytes() -> None:
    channels, height, width = LATENT_SHAPE
    assert channels * height * width == 6272
    assert FEATURES_SHAPE[1:] == LATENT_SHAPE[1:]


def test_the_words_that_users_see() -> None:
    assert [str(path) for path in AnswerPath] == ["cloud", "local", "image"]
    assert {str(reason) for reason in Reason} >= {
        "link_down", "breaker_open", "deadline", "model_mismatch",
        "overloaded", "not_ready", "unauthorised", "server_error",
    }  # fmt: skip
    assert list(LABELS) == sorted(LABELS)


def test_a_box_as_json() -> None:
    assert Box(-1, 2, 30, 40).as_list() == [-1, 2, 30, 40]


SURE = Answer((0.02, 0.0, 0.0, 0.96, 0.02, 0.0, 0.0), "f/local", LabelSet.CROWD)
SHARES = (0.1, 0.1, 0.1, 0.2, 0.3, 0.1, 0.1)


@pytest.mark.parametrize(
    ("quality", "confidence", "uncertain"),
    [(1.0, 0.96, False), (0.5, 0.58, False), (0.25, 0.39, True), (0.0, 0.2, True)],
)
def test_confidence_falls_with_the_pictures_quality_to_what_is_known_without_it(
    quality: float, confidence: float, uncertain: bool
) -> None:
    trust = trust_in(SURE, quality, SHARES, uncertain_below=0.5)
    assert trust.confidence == pytest.approx(confidence)
    assert trust.uncertain is uncertain
    face = FaceAnswer(Box(0, 0, 9, 9), SURE, AnswerPath.LOCAL, quality=quality, trust=trust)
    # What the network said stays; how far to go by it does not.
    assert (face.label, face.answer.confidence) == ("happy", 0.96)
    assert (face.confidence, face.uncertain) == (trust.confidence, uncertain)


def test_a_threshold_of_zero_marks_nothing() -> None:
    assert not trust_in(SURE, 0.0, SHARES, uncertain_below=0.0).uncertain


def test_an_answer_whose_picture_was_not_looked_at_is_as_sure_as_the_network() -> None:
    face = FaceAnswer(Box(0, 0, 9, 9), SURE, AnswerPath.LOCAL)
    assert (face.confidence, face.uncertain) == (0.96, False)
