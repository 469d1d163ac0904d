"""When memory is given back."""

from __future__ import annotations

from uvicorn.server import ServerState

from splitfer.cloud_server.rest_api.server import HttpServer
from splitfer.cloud_server.server.freed_memory import MUCH_BYTES, FreedMemory


def test_what_a_crowd_held_is_given_back_once_it_has_gone() -> None:
    held, trims = [0], list[int]()
    freed = FreedMemory(lambda: held[0], lambda: trims.append(held[0]))
    for held[0] in (0, MUCH_BYTES, 8 * MUCH_BYTES, 5 * MUCH_BYTES):
        freed.look()
    assert trims == []  # it is here
    for held[0] in (4 * MUCH_BYTES, 4 * MUCH_BYTES, 3 * MUCH_BYTES, 0, 0):
        freed.look()
    assert trims == [4 * MUCH_BYTES, 0]


def test_for_little_nothing_is_done() -> None:
    held, trims = [0], list[int]()
    freed = FreedMemory(lambda: held[0], lambda: trims.append(held[0]))
    for held[0] in (MUCH_BYTES - 1, 0) * 10:
        freed.look()
    assert trims == []


def test_a_crowd_of_connections_counts_as_much_and_a_few_do_not() -> None:
    server = object.__new__(HttpServer)
    server.server_state = ServerState()
    trims: list[int] = []
    freed = FreedMemory(lambda: server.held_bytes, lambda: trims.append(1))
    for count in (10, 0):
        server.server_state.connections = set(range(count))  # type: ignore[arg-type]
        freed.look()
    assert not trims
    for count in (500, 0):
        server.server_state.connections = set(range(count))  # type: ignore[arg-type]
        freed.look()
    assert trims
