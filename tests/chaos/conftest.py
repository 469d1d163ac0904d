"""One server, one link that can be broken, one edge; every test leaves them as it found them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator

import pytest

from benchmarks.net.forwarder import Forwarder
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.weights import default_folder
from tests.chaos.faces import SEARCH_SIDE_PX, Picture, clip_pictures, distinct
from tests.chaos.watch import DEADLINE_MS, Watch
from tests.once import made_once
from tests.processes import Server

# 0: the short form. `make chaos` sets it.
CHAOS_MINUTES = float(os.environ.get("CHAOS_MINUTES", "0"))
# How long a fault goes on once it has shown: in the short form for some forty answers.
FAULT_S = 3 + min(27, 6 * CHAOS_MINUTES) if CHAOS_MINUTES else 1.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: breaks the link, the server or the clock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/chaos/" in item.path.as_posix():
            item.add_marker(pytest.mark.chaos)
            # A long run takes what it was given.
            item.add_marker(pytest.mark.timeout(240 + 240 * CHAOS_MINUTES))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Every fifth frame of the clip, answered offline."""
    return _once(tmp_path_factory, "clip", lambda: clip_pictures(every=5))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """Pictures with faces that cannot be mistaken for each other.

    Few of the clip's are: it shows one woman who smiles.
    """
    pictures = _once(tmp_path_factory, "pictures", lambda: distinct(clip_pictures()))
    assert len(pictures) >= 8
    assert any(len(picture.faces) > 1 for picture in pictures)
    return pictures


def _once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[], list[Picture]]
) -> list[Picture]:
    file = made_once(factory, name, lambda draft: draft.write_bytes(pickle.dumps(make())))
    found: list[Picture] = pickle.loads(file.read_bytes())
    return found


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("chaos") / "server.log"
    with Server(default_folder(), log) as server:
        yield server.start()


@pytest.fixture(scope="session")
def session_forwarder(session_server: Server) -> Iterator[Forwarder]:
    with Forwarder(("127.0.0.1", session_server.port)) as forwarder:
        yield forwarder


@pytest.fixture(scope="session")
def recognizer(session_forwarder: Forwarder) -> Iterator[Recognizer]:
    with Recognizer(
        session_forwarder.address,
        policy="cloud",
        deadline_ms=DEADLINE_MS,
        search_side_px=SEARCH_SIDE_PX,
        weights=default_folder(),
    ) as recognizer:
        yield recognizer


@pytest.fixture
def server(session_server: Server) -> Iterator[Server]:
    """A server that runs; running again afterwards."""
    yield session_server
    session_server.revive()


@pytest.fixture
def forwarder(session_server: Server, session_forwarder: Forwarder) -> Iterator[Forwarder]:
    """Between edge and server; sound again afterwards."""
    yield session_forwarder
    session_forwarder.target = ("127.0.0.1", session_server.port)
    session_forwarder.heal()


@pytest.fixture
def watch(
    server: Server, forwarder: Forwarder, recognizer: Recognizer, pictures: list[Picture]
) -> Watch:
    """An edge that the cloud answers at this moment."""
    watch = Watch(recognizer, pictures)
    watch.until_cloud(3)
    watch.answers.clear()
    return watch
