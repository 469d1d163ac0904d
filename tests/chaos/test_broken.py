"""The link or the server breaks, and comes back."""

from __future__ import annotations

import signal

import pytest

from benchmarks.net.forwarder import Fault, Forwarder
from benchmarks.net.shape import Shape
from splitfer.shared.contracts import Reason
from tests.chaos.watch import BROKEN, Watch
from tests.processes import Server, wait_until

BLACKHOLE = Fault(blackhole=True)
# More than pings and window updates: a payload is on its way.
PAYLOAD_BYTES = 300


def kill_in_the_middle_of_a_call(server: Server, forwarder: Forwarder) -> None:
    before = forwarder.carried_bytes["up"]
    wait_until(lambda: forwarder.carried_bytes["up"] > before + PAYLOAD_BYTES, "a call")
    server.kill()


def test_server_killed_in_the_middle_of_a_call(
    watch: Watch, server: Server, forwarder: Forwarder
) -> None:
    # Answers take longer than the kill does.
    forwarder.set(down=Fault(Shape(delay_ms=200)))
    watch.during(lambda: kill_in_the_middle_of_a_call(server, forwarder))
    watch.until_reason(Reason.LINK_DOWN)
    watch.until_reason(Reason.BREAKER_OPEN)
    forwarder.heal()
    watch.during(server.start)
    watch.back()
    assert watch.reasons() <= BROKEN


def test_server_stopped_and_continued(watch: Watch, server: Server) -> None:
    server.signal(signal.SIGSTOP)
    watch.until_reason(Reason.DEADLINE)
    watch.until_reason(Reason.BREAKER_OPEN)
    server.signal(signal.SIGCONT)
    watch.back()
    assert watch.reasons() <= BROKEN


@pytest.mark.parametrize(
    ("up", "down"),
    [(BLACKHOLE, BLACKHOLE), (BLACKHOLE, None), (None, BLACKHOLE)],
    ids=["both", "up", "down"],
)
def test_blackhole(
    watch: Watch, forwarder: Forwarder, up: Fault | None, down: Fault | None
) -> None:
    forwarder.set(up, down)
    watch.until_reason(Reason.DEADLINE)
    watch.until_reason(Reason.BREAKER_OPEN)
    watch.for_s(3)
    forwarder.heal()
    watch.back()
    assert watch.reasons() <= BROKEN


def test_half_open_connection(watch: Watch, forwarder: Forwarder) -> None:
    """The far end forgot the connection; the near end must find out by itself."""
    forwarder.half_open()
    watch.until_reason(Reason.DEADLINE)
    watch.back()
    assert watch.reasons() <= BROKEN


def test_connection_reset(watch: Watch, forwarder: Forwarder) -> None:
    for _ in range(3):
        forwarder.reset()
        watch.back()
    assert watch.reasons() <= BROKEN


def test_connection_refused(watch: Watch, forwarder: Forwarder) -> None:
    forwarder.refuse()
    forwarder.reset()
    watch.until_reason(Reason.BREAKER_OPEN)
    watch.for_s(3)
    forwarder.accept()
    watch.back()
    assert watch.reasons() <= BROKEN
