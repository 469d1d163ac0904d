from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.tracking.faces import FaceEvent, Happening, TrackedFaces
from splitfer.edge_client.tracking.smoothing import Smoothing
from splitfer.shared.contracts import Answer, AnswerPath, Box, FaceAnswer, Trust, trust_in
from splitfer.shared.labels import LABELS, LabelSet

HAPPY, NEUTRAL = LABELS.index("happy"), LABELS.index("neutral")


def probabilities(happy: float) -> tuple[float, ...]:
    rest = (1 - happy) / 6
    return tuple(happy if place == HAPPY else rest for place in range(7))


def between(happy: float) -> tuple[float, ...]:
    """Happy, else neutral."""
    shares = {HAPPY: happy, NEUTRAL: 1 - happy}
    return tuple(shares.get(place, 0.0) for place in range(7))


def face(row: tuple[float, ...], x: int = 100, uncertain: bool = False) -> FaceAnswer:
    answer = Answer(row, "1234/local", LabelSet.CROWD)
    trust = Trust(max(row), uncertain)
    return FaceAnswer(Box(x, 100, 90, 90), answer, AnswerPath.LOCAL, trust=trust)


rows = st.lists(st.floats(0.01, 1), min_size=7, max_size=7).map(
    lambda row: tuple(one / sum(row) for one in row)
)


@given(answers=st.lists(st.tuples(st.floats(0, 30), rows, st.booleans()), min_size=1, max_size=20))
def test_the_mean_is_of_what_was_said(
    answers: list[tuple[float, tuple[float, ...], bool]],
) -> None:
    smoothing, time_s = Smoothing(2.0), 0.0
    said, weights = [], []
    for passed_s, row, uncertain in answers:
        time_s += passed_s
        smoothed = smoothing.add(time_s, row, uncertain)
        weights = [w * np.exp(-passed_s / 2.0) for w in weights] + [0.3 if uncertain else 1.0]
        said.append(row)
        slow = np.average(said, axis=0, weights=weights)
        assert smoothed.probabilities == pytest.approx(slow, abs=1e-9)
        assert sum(smoothed.probabilities) == pytest.approx(1)
        assert smoothed.label in LABELS


def changes(shares: list[float], fps: float = 10.0) -> int:
    tracks, found = TrackedFaces(smooth_s=2.0, lost_s=1.0), 0
    for step, happy in enumerate(shares):
        _, events = tracks.follow(step / fps, [face(between(happy))])
        found += sum(event.happening is Happening.CHANGED for event in events)
    return found


def test_a_steady_face_does_not_flicker() -> None:
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, 300)
    raw = [0.5 + float(one) for one in noise]
    assert sum((a > 0.5) != (b > 0.5) for a, b in itertools.pairwise(raw)) > 100
    assert changes(raw) <= 3  # in thirty seconds


def test_a_face_that_changes_is_told_once_and_soon() -> None:
    assert changes([0.9] * 30 + [0.1] * 30) == 1


def test_what_happens_to_faces_is_told() -> None:
    tracks = TrackedFaces(smooth_s=1.0, lost_s=1.0)
    happy = face(probabilities(0.9))
    assert tracks.follow(0.0, [happy])[1] == []  # found once only
    answers, events = tracks.follow(0.1, [happy])
    assert events == [FaceEvent(Happening.APPEARED, 1, "happy", False)]
    assert (answers[0].track, answers[0].smoothed and answers[0].smoothed.label) == (1, "happy")
    assert answers[0].answer == happy.answer
    assert tracks.follow(0.5, [])[1] == []
    assert tracks.follow(1.6, [])[1] == [
        FaceEvent(Happening.LEFT, 1, "happy", False),
        FaceEvent(Happening.NOBODY),
    ]
    assert tracks.follow(5.0, [])[1] == []


def test_the_last_one_who_leaves_leaves_nobody() -> None:
    tracks = TrackedFaces(smooth_s=1.0, lost_s=1.0)
    two = [face(probabilities(0.9)), face(probabilities(0.9), x=400)]
    for step in range(3):
        tracks.follow(step / 10, two)
    for step in range(3, 20):
        answers, events = tracks.follow(step / 10, two[:1])
        assert [answer.track for answer in answers] == [1]
        assert FaceEvent(Happening.NOBODY) not in events
    assert tracks.follow(4.0, [])[1][-1] == FaceEvent(Happening.NOBODY)


def test_a_find_of_one_frame_is_no_news() -> None:
    tracks = TrackedFaces(smooth_s=1.0, lost_s=1.0)
    tracks.follow(0.0, [face(probabilities(0.9))])
    assert tracks.follow(3.0, [])[1] == []


def test_pictures_that_show_little_count_less() -> None:
    smoothing = Smoothing(10.0)
    smoothing.add(0.0, between(1.0), uncertain=False)
    assert smoothing.add(0.1, between(0.0), uncertain=True).label == "happy"


def test_blurred_pictures_make_what_is_shown_uncertain_however_often_they_agree() -> None:
    tracks = TrackedFaces(smooth_s=2.0, lost_s=1.0)
    answer = Answer(between(0.9), "1234/local", LabelSet.CROWD)
    trust = trust_in(answer, 0.25, (1 / 7,) * 7, uncertain_below=0.5)
    blurred = replace(face(between(0.9)), quality=0.25, trust=trust)
    for step in range(20):
        (followed,), events = tracks.follow(step / 10, [blurred])
        assert all(event.uncertain for event in events)
    shown = followed.shown
    assert (shown.label, shown.uncertain) == ("happy", True)
    assert shown.confidence == pytest.approx(1 / 7 + 0.25 * (0.9 - 1 / 7))


def test_how_sure_belongs_to_the_label_that_is_shown() -> None:
    tracks = TrackedFaces(smooth_s=10.0, lost_s=1.0)
    for step, happy in enumerate([0.8] * 10 + [0.02]):
        answer = Answer(between(happy), "1234/local", LabelSet.CROWD)
        trust = trust_in(answer, 1.0, (1 / 7,) * 7, uncertain_below=0.5)
        seen = replace(face(between(happy)), quality=1.0, trust=trust)
        (followed,), _ = tracks.follow(step / 10, [seen])
    assert (followed.label, followed.confidence) == ("neutral", pytest.approx(0.98))
    assert followed.shown.label == "happy"
    assert followed.shown.confidence == pytest.approx(8.02 / 11, abs=0.02)
    assert not followed.shown.uncertain


def test_what_the_server_said_a_moment_ago_counts_for_what_is_smoothed() -> None:
    tracks = TrackedFaces(smooth_s=2.0, lost_s=1.0)
    standing = Answer(between(0.1), "1234/cloud+local", LabelSet.CROWD)
    asked = replace(face(between(0.9)), standing=standing)
    (followed,), _ = tracks.follow(0.0, [asked])
    assert followed.label == "happy"
    assert followed.smoothed is not None
    assert followed.smoothed.label == "neutral"
