"""`edge-client run` on a broker, from the command line."""

from __future__ import annotations

import signal
from pathlib import Path

from splitfer.shared.weights import default_folder
from tests.broker import Broker, Listener, needs_broker
from tests.processes import Edge, wait_until

ROOT = "splitfer/hall_7/front_door"


@needs_broker
def test_a_run_is_paused_and_resumed_and_its_books_agree(tmp_path: Path) -> None:
    settings = {
        "SPLITFER_EDGE_MQTT_ANSWERS": "true",
        "SPLITFER_EDGE_ANSWERS": "all",
        "SPLITFER_EDGE_OUTBOX": str(tmp_path / "outbox.db"),
        "SPLITFER_EDGE_HEARTBEAT_S": "0",
    }
    with Broker(tmp_path) as broker, Listener(broker.port) as listener:
        settings["SPLITFER_EDGE_MQTT"] = f"127.0.0.1:{broker.port}"
        flags = ("--realtime", "--device-id", "Hall 7", "--source-name", "front door")
        with Edge(tmp_path, default_folder(), *flags, source="demo*50", variables=settings) as edge:
            edge.wait_for(lambda answers: len(answers) > 5, "answers")
            listener.say(f"{ROOT}/pause/set", "ON")
            listener.wait_for(f"{ROOT}/pause", "ON")
            wait_until(lambda: listener.on(f"{ROOT}/state")[-1].json["health"] == "paused", "pause")
            count = len(edge.answers())
            listener.say(f"{ROOT}/policy/set", "cloud")  # for which there is no server
            listener.say(f"{ROOT}/pause/set", "OFF")
            edge.wait_for(lambda answers: len(answers) > count + 5, "answers again")
            edge.signal(signal.SIGTERM)
            code, summary = edge.finish()
            assert code == 130, edge.log()
        listener.wait_for(f"{ROOT}/availability", "offline")
        assert listener.on(f"{ROOT}/policy")[-1].text == "local"
        lines = edge.lines()
        put = summary["outbox"]["put"]
        wait_until(lambda: len(listener.on(f"{ROOT}/answer")) >= put, "the answers")
        said = [one.json for one in listener.on(f"{ROOT}/answer")]
        records = [
            {key: value for key, value in one.items() if key not in ("id", "late")}
            for one in said
            if one["record"] != "heartbeat"
        ]
        assert records == lines
        books = summary["outbox"]["readers"]["mqtt"]
        assert books["sent"] == summary["outbox"]["put"] == len(said)
    assert summary["dropped_frames"] > 0
    faces = [line for line in lines if line["record"] == "face"]
    assert summary["answered"] == len(faces) < len(lines)
    assert "please report" not in edge.log()
