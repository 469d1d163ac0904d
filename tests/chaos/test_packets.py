"""The same faults packet by packet: two kernels, a network between them, and what it does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.net.namespaces import ADDRESSES, Namespaces, NamespacesMissing
from benchmarks.net.shape import Shape
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights import default_folder
from tests.chaos.conftest import CHAOS_MINUTES
from tests.chaos.faces import Picture
from tests.chaos.runs import FLAGS, SOURCE, VARIABLES, check_run, last, reasons_so_far
from tests.chaos.watch import BACK_S, BROKEN
from tests.processes import Edge, Server, wait_until

SOUND = Shape(delay_ms=5)
NOTHING = Shape(loss=1)
LOSSY = Shape(delay_ms=5, loss=0.5)
FAR = Shape(delay_ms=150, jitter_ms=100, ordered=False)
NARROW = Shape(delay_ms=5, bytes_per_s=125_000)
FAULTS = {
    "blackhole": (NOTHING, NOTHING),
    "half of the packets lost": (LOSSY, LOSSY),
    "blackhole, up": (NOTHING, SOUND),
    "blackhole, down": (SOUND, NOTHING),
    "300 +- 200 ms": (FAR, FAR),
}
SHORT = ("blackhole",)
PORT = 50051


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    try:
        with Namespaces() as namespaces:
            yield namespaces
    except NamespacesMissing as error:
        pytest.skip(str(error))


def test_faults_of_packets(namespaces: Namespaces, clip: list[Picture], tmp_path: Path) -> None:
    namespaces.shape(SOUND, SOUND)
    host, log = ADDRESSES["cloud"], tmp_path / "server.log"
    with (
        Server(default_folder(), log, PORT, host, namespaces.command("cloud")).start() as server,
        Edge(
            tmp_path,
            default_folder(),
            "--server",
            server.address,
            *FLAGS,
            source=SOURCE,
            inside=namespaces.command("edge"),
            variables=VARIABLES,
        ) as edge,
    ):
        edge.wait_for(lambda _: last(edge, AnswerPath.CLOUD), "cloud answers")
        for name in FAULTS if CHAOS_MINUTES else SHORT:
            before = reasons_so_far(edge)
            namespaces.shape(*FAULTS[name])
            edge.wait_for(lambda _, n=before: reasons_so_far(edge) != n, f"harm by {name}")
            harmed = len(edge.answers())
            edge.wait_for(lambda answers, n=harmed: len(answers) > n + 20, f"answers in {name}")
            namespaces.shape(SOUND, SOUND)
            wait_until(lambda: last(edge, AnswerPath.CLOUD, 1), f"the cloud after {name}", BACK_S)
        # No fault, only little: a megabit is enough.
        namespaces.shape(NARROW, NARROW)
        edge.wait_for(lambda _: last(edge, AnswerPath.CLOUD, 10), "the cloud at 1 Mb/s")
        edge.signal(signal.SIGINT)
        reasons = check_run(edge, clip)
    assert reasons <= BROKEN
