"""Many edges lose their link at the same instant and come back without knocking the server over."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights import default_folder
from tests.chaos.conftest import CHAOS_MINUTES
from tests.chaos.faces import SEARCH_SIDE_PX, Picture
from tests.chaos.watch import DEADLINE_MS, Watch
from tests.processes import Server, wait_until

EDGES = 1000 if CHAOS_MINUTES else 100
# A thousand clients in one process are slower than the server that they ask.
PATIENCE_S = 120.0


class Crowd:
    """The crowd's process: how many are ready, how often all together have knocked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.ready = self.probes = 0
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.ready, self.probes = map(int, line.split())

    @property
    def alive(self) -> bool:
        return self._process.poll() is None


@contextmanager
def crowd_of(count: int, address: str) -> Iterator[Crowd]:
    command = [
        sys.executable,
        "-m",
        "tests.chaos.crowd",
        address,
        default_folder().name,
        str(count),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Crowd(process)
        process.communicate()


def test_all_come_back_and_the_server_answers_meanwhile(
    server: Server, pictures: list[Picture]
) -> None:
    settings = {"policy": "cloud", "search_side_px": SEARCH_SIDE_PX, "weights": default_folder()}
    with (
        crowd_of(EDGES, server.address) as crowd,
        Recognizer(server.address, deadline_ms=DEADLINE_MS, **settings) as other,
    ):
        wait_until(lambda: crowd.ready == EDGES, "all to be ready", PATIENCE_S)
        watch = Watch(other, pictures)
        watch.until_cloud(3)
        server.kill()
        watch.until(lambda: crowd.ready == 0, "all to notice")
        watch.during(server.start)
        watch.until_cloud(3)
        back = len(watch.answers)
        watch.until(lambda: crowd.ready == EDGES and crowd.alive, "all of them", PATIENCE_S)
        watch.until_cloud(20)
        answered = watch.answers[back:]
        share = sum(one.path is AnswerPath.CLOUD for one in answered) / len(answered)
        assert share > 0.5, f"an edge that is back is served while others come: {watch.said()}"
    assert crowd.probes < 30 * EDGES, "their waits grow while nobody answers"
