from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.offload.asked_tracks import AskedTracks
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.shared.contracts import Answer, AnswerPath, Box, LatencyMs
from splitfer.shared.labels import LABELS, LabelSet

THRESHOLD, AGAIN_S = 0.8, 1.0


def answer(confidence: float, place: int = 0, tail: str = "local") -> Answer:
    rest = (1 - confidence) / 6
    row = tuple(confidence if one == place else rest for one in range(7))
    return Answer(row, f"f/{tail}", LabelSet.CROWD)


def face(own: Answer, x: int = 100) -> PendingFace:
    made = PendingFace(Box(x, 100, 90, 90), 1.0)
    made.by_device(own, LatencyMs(total=1.0), None)
    return made


def tracks() -> AskedTracks:
    return AskedTracks(THRESHOLD, AGAIN_S, smooth_s=2.0, lost_s=1.0)


def ask(asked: AskedTracks, time_s: float, faces: list[PendingFace], said: Answer) -> int:
    """A frame of which the server answers what it is asked; how many faces that were."""
    worth = asked.worth_asking(time_s, faces)
    for index in worth:
        faces[index].by_server(said, AnswerPath.CLOUD, LatencyMs(total=1.0), together=True)
    if worth:
        asked.asked(faces, worth, together=True)
    return len(worth)


def test_a_steady_face_is_asked_about_ever_less_and_then_once_a_second() -> None:
    asked, said = tracks(), answer(0.5, tail="cloud")
    times = [step / 8 for step in range(40) if ask(asked, step / 8, [face(answer(0.5))], said)]
    assert times == [0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0]


def test_what_the_server_said_stands_with_the_devices_answers() -> None:
    asked = tracks()
    first = face(answer(0.4))
    assert ask(asked, 0.0, [first], answer(0.7, tail="cloud")) == 1
    later = face(answer(0.5))
    assert ask(asked, 0.05, [later], answer(0.7, tail="cloud")) == 0
    assert later.answer == later.own  # what the device says now is told as it is
    assert later.standing is not None
    assert abs(later.standing.confidence - 0.6) < 1e-9
    given_answer = later.given(None, (1 / 7,) * 7, 0.5)
    assert given_answer.path is AnswerPath.LOCAL
    assert given_answer.standing == later.standing


def test_what_the_server_said_is_its_mean_of_lately() -> None:
    asked = tracks()
    assert ask(asked, 0.0, [face(answer(0.3))], answer(0.9, tail="cloud")) == 1
    assert ask(asked, 0.125, [face(answer(0.3))], answer(0.5, tail="cloud")) == 1
    later = face(answer(0.3))
    assert ask(asked, 0.2, [later], answer(0.5, tail="cloud")) == 0
    assert later.standing is not None
    assert 0.49 < later.standing.confidence < 0.5  # of 0.3 and a little less than 0.7


def test_a_server_that_makes_it_sure_is_not_asked_again() -> None:
    asked = tracks()
    count = [
        ask(asked, step / 10, [face(answer(0.75))], answer(1.0, tail="cloud")) for step in range(50)
    ]
    assert sum(count) == 1


def test_a_face_that_shows_something_else_is_asked_about_at_once() -> None:
    asked, said = tracks(), answer(0.3, tail="cloud")
    assert ask(asked, 0.0, [face(answer(0.5))], said) == 1
    changed = [
        ask(asked, 0.005 + step / 200, [face(answer(0.9, place=3))], said) for step in range(9)
    ]
    assert sum(changed) == 1


def test_a_new_face_is_asked_about_beside_one_that_was() -> None:
    asked, said = tracks(), answer(0.5, tail="cloud")
    assert ask(asked, 0.0, [face(answer(0.5))], said) == 1
    two = [face(answer(0.5), x=400), face(answer(0.5), x=104)]
    assert asked.worth_asking(0.05, two) == (0,)
    assert two[0].standing is None


def test_another_video_begins_anew() -> None:
    asked, said = tracks(), answer(0.5, tail="cloud")
    assert ask(asked, 7.0, [face(answer(0.5))], said) == 1
    assert ask(asked, 0.0, [face(answer(0.5))], said) == 1


def test_a_face_without_an_answer_of_the_server_is_asked_about_later() -> None:
    asked = tracks()
    for time_s, wanted in ((0.0, 1), (0.05, 0), (0.1, 1), (0.2, 0)):
        faces = [face(answer(0.5))]
        worth = asked.worth_asking(time_s, faces)
        assert len(worth) == wanted
        if worth:
            asked.asked(faces, worth, together=True)  # it did not answer in time
        assert faces[0].standing is None


confidences = st.floats(0.2, 1.0)


@given(
    rows=st.lists(st.tuples(confidences, st.integers(0, 6), confidences), min_size=1, max_size=60)
)
def test_it_asks_no_more_often_than_each_frame_on_its_own(
    rows: list[tuple[float, int, float]],
) -> None:
    asked, last_s, last = tracks(), None, None
    for step, (own, place, said) in enumerate(rows):
        faces, time_s = [face(answer(own, place))], step / 10
        worth = asked.worth_asking(time_s, faces)
        assert len(worth) <= 1
        if not worth:
            continue
        track = asked._tracks[1]
        label = track.own_label
        assert label in LABELS
        # Never sooner than wanted, but where it shows something else.
        assert last_s is None or time_s - last_s >= AGAIN_S / 16 - 1e-9 or label != last
        last_s, last = time_s, label
        server = answer(said, place, "cloud")
        faces[0].by_server(server, AnswerPath.CLOUD, LatencyMs(total=1.0), together=True)
        asked.asked(faces, worth, together=True)
