"""The device on a real broker: announced, told, asked, and never stale."""

from __future__ import annotations

import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.choices import Policy
from splitfer.edge_client.settings.control import Control
from splitfer.edge_client.sinks import mqtt, reader
from splitfer.edge_client.sinks.mqtt import READER, Mqtt
from splitfer.edge_client.sinks.mqtt_broker import Broker as Address
from splitfer.edge_client.sinks.mqtt_messages import Topics
from splitfer.edge_client.sinks.outbox import Outbox
from splitfer.edge_client.sinks.run_status import RunStatus
from splitfer.shared.certificates import read_certificates
from tests import certificates
from tests.broker import Broker, Listener, needs_broker
from tests.processes import free_port, wait_until
from tests.unit.edge_client.answers import face, frame

pytestmark = needs_broker

TOPICS = Topics("splitfer", "hall")
STATE, ONLINE, ANSWER = TOPICS.state, TOPICS.availability, TOPICS.answer
CONFIG = "homeassistant/device/splitfer_hall/config"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "STATE_EVERY_S", 0.05)
    monkeypatch.setattr(mqtt, "_BIRTH_JITTER_S", 0.1)
    monkeypatch.setattr(mqtt, "_LOOP_S", 0.02)
    monkeypatch.setattr(reader, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(reader, "FIRST_WAIT_S", 0.1)


class Device:
    """What the pipeline would be: frames when the test says so."""

    def __init__(self, address: Address, outbox: Outbox | None = None) -> None:
        self.status = RunStatus()
        self.chosen: list[Policy] = []
        self.control = Control(Policy.AUTO, list(Policy), self.chosen.append)
        self.status.paused = lambda: self.control.paused
        self.mqtt = Mqtt(
            address,
            TOPICS,
            self.status,
            self.control,
            "hall",
            "1",
            outbox=outbox,
            jitter=lambda: 0.1,
        )
        self._index = 0

    def frame(self, faces: int = 1) -> int:
        self._index += 1
        self.status.write(frame(self._index), [face()] * faces)
        return self._index

    def close(self) -> None:
        self.mqtt.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as broker:
        yield broker


def local(broker: Broker, **more: Any) -> Address:
    return Address("127.0.0.1", broker.port, **more)


def states(listener: Listener) -> list[Any]:
    return [message.json["faces"] for message in listener.on(STATE)]


@pytest.mark.parametrize("version", ["auto", "5", "3.1.1"])
def test_it_is_announced_and_its_state_is_told(broker: Broker, version: str) -> None:
    with (
        Listener(broker.port) as listener,
        closing(Device(local(broker, version=version))) as device,
    ):
        assert listener.wait_for(ONLINE).text == "online"
        announced = listener.wait_for(CONFIG).json
        assert announced["availability_topic"] == ONLINE
        assert announced["state_topic"] == STATE
        device.frame(faces=2)
        wait_until(lambda: 2 in states(listener), "the state")
        device.close()
        listener.wait_for(ONLINE, "offline")
    with Listener(broker.port) as later:  # and all of it is retained
        for topic in (ONLINE, STATE, CONFIG, TOPICS.control("policy"), TOPICS.control("pause")):
            assert later.wait_for(topic).retained
        assert later.on(ONLINE)[0].text == "offline"


def test_a_device_that_dies_is_offline_by_its_last_will(broker: Broker) -> None:
    with Listener(broker.port) as listener, closing(Device(local(broker))) as device:
        listener.wait_for(ONLINE, "online")
        client = device.mqtt._client
        assert client is not None
        socket = client.socket()
        assert socket is not None
        device.mqtt._closed.set()  # nothing comes after
        socket.close()
        listener.wait_for(ONLINE, "offline")


def test_it_obeys_and_says_what_it_is_set_to(broker: Broker) -> None:
    with Listener(broker.port) as listener, closing(Device(local(broker))) as device:
        listener.wait_for(TOPICS.control("policy"), "auto")
        listener.wait_for(TOPICS.control("pause"), "OFF")
        listener.say(TOPICS.set("policy"), "local")
        listener.wait_for(TOPICS.control("policy"), "local")
        listener.say(TOPICS.set("pause"), "ON")
        listener.wait_for(TOPICS.control("pause"), "ON")
        assert (device.chosen, device.control.paused) == ([Policy.LOCAL], True)
        wait_until(lambda: listener.on(STATE)[-1].json["health"] == "paused", "the pause's state")
        before = len(listener.on(TOPICS.control("policy")))
        for nonsense in ("fastest", "", "x" * 300, "\x00"):
            listener.say(TOPICS.set("policy"), nonsense)
        # Whoever asked for nonsense sees what it still is.
        assert listener.wait_for(TOPICS.control("policy"), after=before).text == "local"
        listener.say(TOPICS.set("pause"), "OFF")
        wait_until(lambda: not device.control.paused, "the end of the pause")


def test_a_retained_command_is_not_obeyed(broker: Broker) -> None:
    with Listener(broker.port) as listener:
        listener.say(TOPICS.set("pause"), "ON", retain=True)
        with closing(Device(local(broker))) as device:
            listener.wait_for(TOPICS.control("pause"), "OFF")
            listener.say(TOPICS.set("policy"), "local")
            listener.wait_for(TOPICS.control("policy"), "local")
            assert not device.control.paused


def test_home_assistant_that_starts_is_told_again(broker: Broker) -> None:
    with Listener(broker.port) as listener, closing(Device(local(broker))) as device:
        listener.wait_for(CONFIG)
        device.frame()
        wait_until(lambda: 1 in states(listener), "the state")
        before = len(listener.on(CONFIG))
        listener.say("homeassistant/status", "online")
        listener.wait_for(CONFIG, after=before)


def test_a_broker_that_comes_late_and_one_that_restarts_hear_nothing_old(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with closing(Device(local(broker))) as device:
        device.frame(faces=3)
        wait_until(lambda: device.mqtt.fault is not None, "the fault")
        for faces in (4, 5):
            with broker, Listener(broker.port) as listener:
                listener.wait_for(ONLINE, "online")
                listener.wait_for(CONFIG)
                listener.wait_for(STATE)
                # What was seen before the connection is not said again as if it were now.
                assert set(states(listener)) == {None}
                device.frame(faces)
                wait_until(lambda: faces in states(listener), "a state of now")  # noqa: B023
                assert set(states(listener)) == {None, faces}
            wait_until(lambda: not device.mqtt.connected, "the broker's end")


class Wire:
    """A port that leads to the broker's, and that cuts every connection after ``bytes_each``."""

    def __init__(self, to_port: int, bytes_each: int, port: int | None = None) -> None:
        self.port, self.cuts = port or free_port(), 0
        self._to_port, self._bytes_each = to_port, bytes_each
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with near, socket.create_connection(("127.0.0.1", self._to_port)) as far:
                    self._carry(near, far)
                    self.cuts += 1

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        left = self._bytes_each
        while left > 0:
            for ready in select.select([near, far], [], [])[0]:
                data = ready.recv(min(left, 512))
                left -= len(data)
                if not data:
                    return
                (far if ready is near else near).sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_answers_wait_for_the_broker_and_come_once_in_order_as_late(tmp_path: Path) -> None:
    port = free_port()
    with (
        closing(Outbox(tmp_path / "o.db", [READER])) as outbox,
        closing(Device(Address("127.0.0.1", port), outbox)) as device,
    ):
        outbox.put([b'{"n": %d}' % number for number in range(50)])
        wait_until(lambda: device.mqtt.fault is not None, "the fault")
        # Whoever listens is there first: a broker keeps nothing for those who are not.
        with (
            Broker(tmp_path) as broker,
            Listener(broker.port) as listener,
            closing(Wire(broker.port, 10**9, port)),
        ):
            wait_until(lambda: len(listener.on(ANSWER)) == 50, "what waited")
            outbox.put([b'{"n": 50}'])
            wait_until(lambda: len(listener.on(ANSWER)) == 51, "what is new")
            said = [message.json for message in listener.on(ANSWER)]
            assert [one["n"] for one in said] == list(range(51))
            assert [one["late"] for one in said] == [True] * 50 + [False]
            assert len({one["id"] for one in said}) == 51
            assert not any(message.retained for message in listener.on(ANSWER))
            wait_until(lambda: outbox.count(READER) == 0, "the acknowledgements")
        assert outbox.sent[READER] == 51


def test_a_wire_cut_again_and_again_loses_no_answer(broker: Broker, tmp_path: Path) -> None:
    total = 300
    with (
        Listener(broker.port) as listener,
        closing(Wire(broker.port, 9000)) as wire,
        closing(Outbox(tmp_path / "o.db", [READER])) as outbox,
        closing(Device(Address("127.0.0.1", wire.port), outbox)),
    ):
        for number in range(total):
            outbox.put([b'{"n": %d, "words": "%s"}' % (number, b"x" * (number % 400))])
        wait_until(lambda: outbox.sent[READER] == total, "all to be acknowledged")
        wait_until(lambda: listener.on(ANSWER)[-1].json["n"] == total - 1, "the last to be heard")
        assert wire.cuts > 5
        heard = [message.json for message in listener.on(ANSWER)]
    # Repeated ones are dropped by their ids; what is left is everything, once and in order.
    once = {one["id"]: one["n"] for one in heard}
    assert list(once.values()) == list(range(total))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker with TLS and a password."""
    certificates.authority(tmp_path, "house")
    certificates.certificate(tmp_path, "broker", "house")
    passwords = tmp_path / "passwords"
    passwords.write_text("edge:s3cret-words\n")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
    (tmp_path / "broker.key").chmod(0o644)
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    settings = (
        f"cafile {tmp_path}/house.pem",
        f"certfile {tmp_path}/broker.pem",
        f"keyfile {tmp_path}/broker.key",
        f"password_file {passwords}",
        "allow_anonymous false",
        "user root",
    )
    with Broker(tmp_path, *settings) as broker:
        yield broker


# The library leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_tls_and_password(
    guarded: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trust = read_certificates(tmp_path / "house.pem", None, None).context()
    right = local(guarded, user="edge", password="s3cret-words", tls=trust)
    with (
        Listener(guarded.port, ("edge", "s3cret-words"), trust) as listener,
        closing(Device(right)) as device,
    ):
        listener.wait_for(ONLINE, "online")
        device.frame()
        wait_until(lambda: 1 in states(listener), "the state")
    wrong = local(guarded, user="edge", password="another", tls=trust)
    with closing(Device(wrong)) as device:
        wait_until(lambda: device.mqtt.fault is not None, "the refusal")
        assert "refuses this device" in str(device.mqtt.fault)
    certificates.authority(tmp_path, "stranger")
    stranger = read_certificates(tmp_path / "stranger.pem", None, None).context()
    with closing(Device(local(guarded, tls=stranger))) as device:
        wait_until(lambda: device.mqtt.fault is not None, "the certificate's refusal")
        assert "certificate" in str(device.mqtt.fault).lower()
    with closing(Device(local(guarded))) as device:
        wait_until(lambda: device.mqtt.fault is not None, "a broker that wants TLS")
    assert "s3cret-words" not in caplog.text


def test_who_is_no_broker_is_named() -> None:
    with closing(Device(Address("127.0.0.1", free_port()))) as device:
        wait_until(lambda: device.mqtt.fault is not None, "the fault")
        assert "refused" in str(device.mqtt.fault)
