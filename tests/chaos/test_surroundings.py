"""Names that do not resolve or move, and a wall clock that jumps."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.net.forwarder import Fault, Forwarder
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights import default_folder
from tests.chaos.conftest import CHAOS_MINUTES
from tests.chaos.faces import Picture
from tests.chaos.runs import FLAGS, SOURCE, VARIABLES, check_run, last, reasons_so_far
from tests.chaos.watch import BACK_S, BROKEN
from tests.processes import Edge, Server, wait_until

NAME = "cloud.splitfer.test"
LOCALHOST = "127.0.0.1 localhost\n"
# A process of its own sees the file in place of /etc/hosts.
OWN_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
HOUR_S = 3600


@contextmanager
def edge_of(folder: Path, address: str, **settings: object) -> Iterator[Edge]:
    with Edge(
        folder, default_folder(), "--server", address, *FLAGS, source=SOURCE, **settings
    ) as edge:
        yield edge


def back(edge: Edge) -> None:
    """The cloud answers again within the time promised."""
    wait_until(lambda: last(edge, AnswerPath.CLOUD, 1), "the cloud", BACK_S)


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    file = tmp_path / "hosts"
    file.write_text(LOCALHOST)
    own = ["unshare", "--mount", "sh", "-c", OWN_HOSTS, str(file), "true"]
    if not shutil.which("unshare") or subprocess.run(own, capture_output=True).returncode:
        pytest.skip("no mount namespaces for this user: /etc/hosts cannot be another one")
    return file


def test_a_name_that_does_not_resolve_and_an_address_that_moves(
    server: Server, hosts: Path, clip: list[Picture], tmp_path: Path
) -> None:
    inside = ("unshare", "--mount", "sh", "-c", OWN_HOSTS, str(hosts))
    target = ("127.0.0.1", server.port)
    with (
        Forwarder(target) as old,
        Forwarder(target, ("127.0.0.2", old.port)) as new,
        edge_of(tmp_path, f"{NAME}:{old.port}", inside=inside, variables=VARIABLES) as edge,
    ):
        edge.wait_for(lambda answers: len(answers) > 5, "answers")
        assert set(reasons_so_far(edge)) == {"link_down"}

        hosts.write_text(f"{LOCALHOST}127.0.0.1 {NAME}\n")
        back(edge)
        assert new.accepted == 0

        hosts.write_text(f"{LOCALHOST}127.0.0.2 {NAME}\n")
        old.set(Fault(blackhole=True), Fault(blackhole=True))  # nobody says that it left
        edge.wait_for(lambda _: reasons_so_far(edge)["breaker_open"], "the outage")
        back(edge)
        assert new.accepted > 0
        edge.signal(signal.SIGINT)
        reasons = check_run(edge, clip)
    assert reasons <= BROKEN


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
@pytest.mark.parametrize("hours", [1, -1] if CHAOS_MINUTES else [1])
def test_the_wall_clock_moved_by_an_hour(
    server: Server, clip: list[Picture], tmp_path: Path, hours: int
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    variables = VARIABLES | {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "UTC",
    }
    with (
        Forwarder(("127.0.0.1", server.port)) as forwarder,
        edge_of(tmp_path, forwarder.address, variables=variables) as edge,
    ):
        edge.wait_for(lambda _: last(edge, AnswerPath.CLOUD), "cloud answers")
        offset.write_text(f"{hours * HOUR_S:+d}")
        # The clock's hour from now on; the test may run over the full hour.
        moved = {
            time.strftime(" %H:", time.gmtime(time.time() + hours * HOUR_S + s)) for s in (0, 120)
        }
        before = len(edge.answers())
        edge.wait_for(lambda answers: len(answers) > before + 20, "answers afterwards")
        # The link is made anew under the moved clock, too.
        forwarder.reset()
        back(edge)
        forwarder.set(Fault(blackhole=True), Fault(blackhole=True))
        edge.wait_for(lambda _: reasons_so_far(edge)["breaker_open"], "the outage")
        forwarder.heal()
        back(edge)
        edge.signal(signal.SIGINT)
        reasons = check_run(edge, clip)
    assert any(hour in edge.log() for hour in moved), "the edge did see the moved clock"
    assert reasons <= BROKEN
