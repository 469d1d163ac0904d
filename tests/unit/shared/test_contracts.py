from __future__ import annotations

from shared.contracts import FEATURES_SHAPE, LATENT_SHAPE, Box, Path, Reason
from shared.labels import LABELS


def test_the_latent_is_the_papers_6272_bytes() -> None:
    channels, height, width = LATENT_SHAPE
    assert channels * height * width == 6272
    assert FEATURES_SHAPE[1:] == LATENT_SHAPE[1:]


def test_the_words_that_users_see() -> None:
    assert [str(path) for path in Path] == ["cloud", "local", "image"]
    assert {str(reason) for reason in Reason} >= {
        "link_down", "breaker_open", "deadline", "model_mismatch",
        "overloaded", "not_ready", "unauthorised", "server_error",
    }  # fmt: skip
    assert list(LABELS) == sorted(LABELS)


def test_a_box_as_json() -> None:
    assert Box(-1, 2, 30, 40).as_list() == [-1, 2, 30, 40]
