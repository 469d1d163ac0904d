from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.edge_client.sinks.mqtt_messages import Topics, discovery_message, state_message
from splitfer.edge_client.sinks.run_status import Health, Newest
from splitfer.shared.contracts import AnswerPath, FaceAnswer, Reason, SmoothedAnswer, Trust
from splitfer.shared.labels import LABELS
from tests.unit.edge_client.answers import face, frame

TOPICS = Topics("splitfer", "Hall 7", "Front door")


def newest(faces: Sequence[FaceAnswer]) -> Newest:
    return Newest(1, frame(), tuple(faces), 0.0)


def test_the_state_has_what_the_sensors_show() -> None:
    faces = [
        face(AnswerPath.LOCAL, Reason.DEADLINE, trust=Trust(0.9, False)),
        face(trust=Trust(0.6, False)),
    ]
    state = state_message(newest(faces), Health.OK)
    assert state["expression"] == "happy"
    assert (state["faces"], state["expressions"]) == (2, {"happy": 2})
    assert (state["confidence"], state["uncertain"]) == (0.9, False)
    assert (state["path"], state["reason"], state["health"]) == ("local", "deadline", "ok")
    assert set(state) == set(state_message(None, Health.STARTING))


def test_a_guess_is_told_as_one() -> None:
    happy, lately = face(trust=Trust(0.93, False)), (0.1, 0.1, 0.1, 0.2, 0.3, 0.1, 0.1)
    followed = replace(
        happy, track=1, smoothed=SmoothedAnswer("neutral", lately, trust=Trust(0.3, True))
    )
    state = state_message(newest([followed]), Health.OK)
    assert (state["expression"], state["confidence"]) == ("neutral", 0.3)
    assert state["uncertain"] is True


def test_nobody_there_is_not_an_unknown_state() -> None:
    state = state_message(newest([]), Health.OK)
    assert (state["expression"], state["faces"], state["confidence"]) == ("no_face", 0, None)
    unknown = state_message(None, Health.NO_PICTURE)
    assert {value for key, value in unknown.items() if key != "health"} == {None}


def test_the_announcement_is_what_home_assistant_reads() -> None:
    message = discovery_message(TOPICS, "Hall 7", "1.2", ["auto", "local"])
    assert message["device"]["identifiers"] == ["splitfer_hall_7_front_door"]
    assert message["origin"]["name"]
    state = state_message(newest([face()]), Health.OK)
    ids = set()
    for key, one in message["components"].items():
        assert one["platform"] in ("sensor", "binary_sensor", "select", "switch")
        assert "object_id" not in one
        assert one["default_entity_id"].startswith(f"{one['platform']}.splitfer_hall_7_")
        ids.add(one["unique_id"])
        if one["platform"] == "sensor":
            assert one["value_template"] == f"{{{{ value_json.{key} }}}}"
            assert key in state
            assert state[key] in one.get("options", [state[key]])
        elif one["platform"] == "binary_sensor":
            assert f"value_json.{key})" in one["value_template"]
            assert key in state
        else:
            assert one["command_topic"] == f"{TOPICS.root}/{key}/set"
    assert len(ids) == len(message["components"])
    assert set(LABELS) < set(message["components"]["expression"]["options"])
    json.dumps(message)


@pytest.mark.parametrize(
    ("device", "camera", "root"),
    [
        ("Hall 7", None, "splitfer/hall_7"),
        ("Küche+#/", "Tür", "splitfer/k_che/t_r"),
        ("+", None, "splitfer/device"),
    ],
)
def test_topics(device: str, camera: str | None, root: str) -> None:
    assert Topics("splitfer", device, camera).root == root


@given(st.text(max_size=200), st.none() | st.text(min_size=1, max_size=200))
def test_no_name_makes_a_topic_that_a_broker_refuses(device: str, camera: str | None) -> None:
    topics = Topics("splitfer", device, camera)
    for topic in (topics.availability, topics.state, topics.set("policy")):
        assert not set(topic) & set("+#\x00 ")
        assert "//" not in topic
    assert topics.name.replace("_", "").isalnum()
