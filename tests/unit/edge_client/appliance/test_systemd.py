from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from splitfer.edge_client.appliance.systemd import SystemdNotice, WatchdogThread
from tests.processes import wait_until
from tests.unit.edge_client.sinks.test_heartbeat import Clock


class Systemd:
    """Who listens where systemd would."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "8000000"}

    def heard(self) -> list[str]:
        lines = []
        while True:
            try:
                lines += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "@abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    path = str(tmp_path / "notify")
    with closing(Systemd(path if request.param == "path" else f"@splitfer{path}")) as systemd:
        yield systemd


def test_the_watchdog_is_fed_only_while_frames_flow(systemd: Systemd) -> None:
    clock, flows = Clock(), True
    notice = SystemdNotice(lambda: flows, lambda: "ok", systemd.environment, clock)
    notice.tick()
    assert systemd.heard() == ["STATUS=ok", "READY=1", "WATCHDOG=1"]
    notice.tick()
    assert systemd.heard() == []  # not more often than half of what is waited for
    clock.now_s += 4
    notice.tick()
    assert systemd.heard() == ["STATUS=ok", "WATCHDOG=1"]
    flows = False
    clock.now_s += 4
    notice.tick()
    assert systemd.heard() == ["STATUS=ok"]
    notice.stopping()
    assert systemd.heard() == ["STOPPING=1"]


def test_a_thread_does_it(systemd: Systemd) -> None:
    notice = SystemdNotice(lambda: True, lambda: "ok", systemd.environment)
    with closing(WatchdogThread(notice, 0.01)):
        wait_until(lambda: "READY=1" in systemd.heard(), "systemd to be told")
    assert systemd.heard() == ["STOPPING=1"]


def test_settings_that_are_read_again_are_no_stop(systemd: Systemd) -> None:
    notice = SystemdNotice(lambda: True, lambda: "ok", systemd.environment)
    thread = WatchdogThread(notice, 0.01)
    wait_until(lambda: "READY=1" in systemd.heard(), "systemd to be told")
    thread.close(goes_on=True)
    thread.close()
    first, second = systemd.heard()
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")  # which systemd wants to see beside it


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    notice = SystemdNotice(lambda: True, lambda: "ok", environment)
    notice.tick()
    notice.stopping()
