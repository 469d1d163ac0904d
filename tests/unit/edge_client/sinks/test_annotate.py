from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from splitfer.edge_client.sinks import annotate as module
from splitfer.edge_client.sinks.annotate import (
    PATH_COLOURS,
    Canvas,
    annotate,
    headline,
    small_print,
)
from splitfer.shared.contracts import AnswerPath, Reason, Trust
from tests.unit.edge_client.answers import face, frame


def count(rgb: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((rgb == np.array(colour, np.uint8)).all(axis=2).sum())


def test_a_face_is_outlined_where_it_is_and_named() -> None:
    seen = frame()
    canvas = Canvas.for_picture(seen.rgb, 1000)
    drawn = annotate(seen, [face(AnswerPath.LOCAL)], canvas)
    colour = np.array(PATH_COLOURS[AnswerPath.LOCAL], np.uint8)
    assert drawn.shape == (canvas.height_px, canvas.width_px, 3)
    assert drawn.dtype == np.uint8
    for x, y in ((60, 70), (100, 70), (80, 50), (80, 90)):
        assert (drawn[y, x] == colour).all()
    assert (drawn[70, 80] == 90).all()
    assert (drawn[5, 5] == 90).all()
    assert headline(face()) == "happy 93%"


def test_an_uncertain_answer_has_a_question_mark_and_is_paler() -> None:
    seen, unsure = frame(), face(trust=Trust(0.41, uncertain=True))
    assert headline(unsure) == "happy? 41%"
    assert headline(face(trust=Trust(0.71, uncertain=False))) == "happy 71%"
    canvas = Canvas.for_picture(seen.rgb, 1000)
    sure, pale = (annotate(seen, [one], canvas)[70, 60] for one in (face(), unsure))
    assert np.ptp(pale) < np.ptp(sure) / 2
    assert pale.mean() > sure.mean()


@pytest.mark.parametrize("path", list(AnswerPath))
def test_each_path_has_a_colour_of_its_own(path: AnswerPath) -> None:
    seen = frame()
    drawn = annotate(seen, [face(path)], Canvas.for_picture(seen.rgb, 1000))
    assert count(drawn, PATH_COLOURS[path]) > 100
    assert all(count(drawn, PATH_COLOURS[other]) == 0 for other in AnswerPath if other != path)


def test_the_small_print_says_path_and_reason_of_every_face() -> None:
    assert small_print([]) == [("no face", None)]
    assert small_print([face()]) == [("cloud", AnswerPath.CLOUD)]
    assert small_print([face(AnswerPath.LOCAL, Reason.DEADLINE)]) == [
        ("local: deadline", AnswerPath.LOCAL)
    ]
    mixed = [
        face(),
        face(AnswerPath.LOCAL, Reason.LINK_DOWN),
        face(AnswerPath.LOCAL, Reason.LINK_DOWN),
    ]
    assert small_print(mixed) == [
        ("1 cloud", AnswerPath.CLOUD),
        ("2 local: link_down", AnswerPath.LOCAL),
    ]


@pytest.mark.parametrize(
    "box", [(-30, -30, 60, 60), (140, 100, 60, 60), (-500, 10, 20, 20), (10, 10, 0, 0)]
)
def test_a_box_that_reaches_over_the_border_is_drawn_as_far_as_it_goes(
    box: tuple[int, int, int, int],
) -> None:
    seen = frame()
    drawn = annotate(seen, [face(box=box)], Canvas.for_picture(seen.rgb, 1000))
    assert count(drawn, PATH_COLOURS[AnswerPath.CLOUD]) > 50


def test_the_frame_itself_is_left_as_it_was() -> None:
    seen = frame()
    before = seen.rgb.copy()
    annotate(seen, [face()], Canvas.for_picture(seen.rgb, 1000))
    assert (seen.rgb == before).all()


@pytest.mark.parametrize("size", [(161, 121), (3, 1), (4000, 3000), (1, 5000)])
def test_the_canvas_has_even_sides_and_keeps_its_bound(size: tuple[int, int]) -> None:
    seen = frame(size=size)
    canvas = Canvas.for_picture(seen.rgb, 640)
    drawn = annotate(seen, [face()], canvas)
    assert drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0
    assert max(canvas.width_px, canvas.picture_px) <= 640


def test_a_frame_of_another_shape_is_fitted_in_without_stretching() -> None:
    canvas = Canvas.for_picture(frame(size=(160, 120)).rgb, 1000)
    drawn = annotate(frame(size=(60, 120), grey=200), [], canvas)
    columns = (drawn[: canvas.picture_px] == 200).all(axis=(0, 2))
    assert columns.sum() == 60
    assert list(columns[50:110]) == [True] * 60


def test_no_typeface_of_the_system_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise OSError("no such typeface")

    module._font.cache_clear()
    original = ImageFont.truetype
    monkeypatch.setattr(
        ImageFont,
        "truetype",
        lambda f, *a, **k: missing() if isinstance(f, str) else original(f, *a, **k),
    )
    seen = frame()
    annotate(seen, [face()], Canvas.for_picture(seen.rgb, 1000))
    module._font.cache_clear()
