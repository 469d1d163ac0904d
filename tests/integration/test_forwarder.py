"""The forwarder against a plain echo server: each fault does what it says, and heals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.net.forwarder import Fault, Forwarder
from benchmarks.net.shape import Shape
from tests.processes import free_port, wait_until

PATIENCE_S = 30.0
# Shorter than any patience, longer than loopback needs: for what must not happen.
A_WHILE_S = 0.3


class Echo:
    """Sends back what comes, from ``name`` first where there is one; keeps what it got."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting, self.got, self.ended = greeting, bytearray(), 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = self._listener.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who accepts
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(peer,), daemon=True).start()

    def _echo(self, peer: socket.socket) -> None:
        with peer:
            try:
                peer.sendall(self.greeting)
                while data := peer.recv(65536):
                    self.got += data
                    peer.sendall(data)
            except OSError:
                pass
        self.ended += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def forwarder(echo: Echo) -> Iterator[Forwarder]:
    with Forwarder(echo.target) as forwarder:
        yield forwarder


def connect(forwarder: Forwarder) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", forwarder.port), PATIENCE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def silent(client: socket.socket) -> bool:
    """Whether nothing comes, not even an end."""
    client.settimeout(A_WHILE_S)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_S)
    return False


MESSAGE = bytes(range(256)) * 40


def test_a_sound_one_passes_everything_and_the_end(forwarder: Forwarder, echo: Echo) -> None:
    with connect(forwarder) as client:
        threading.Thread(target=client.sendall, args=(MESSAGE * 100,)).start()
        assert receive(client, len(MESSAGE) * 100) == MESSAGE * 100
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert forwarder.carried_bytes == {"up": len(MESSAGE) * 100, "down": len(MESSAGE) * 100}
    wait_until(lambda: forwarder.open == 0, "the connection to be forgotten")


def test_delay_and_rate_hold_back_at_least_what_they_say(forwarder: Forwarder) -> None:
    forwarder.shape(Shape(delay_ms=100), Shape(bytes_per_s=50_000, delay_ms=50))
    with connect(forwarder) as client:
        start_s = time.monotonic()
        client.sendall(MESSAGE)
        assert receive(client, len(MESSAGE)) == MESSAGE
        assert time.monotonic() - start_s >= 0.15 + len(MESSAGE) / 50_000


@pytest.mark.parametrize("fault", [Fault(slice_bytes=1), Fault(Shape(loss=0.2, jitter_ms=30))])
def test_slices_loss_and_jitter_change_nothing_in_the_stream(
    forwarder: Forwarder, fault: Fault
) -> None:
    forwarder.set(fault, fault)
    with connect(forwarder) as client:
        client.sendall(MESSAGE)
        assert receive(client, len(MESSAGE)) == MESSAGE


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_blackhole_swallows_one_way_and_gives_it_back(
    forwarder: Forwarder, echo: Echo, way: str
) -> None:
    with connect(forwarder) as client:
        client.sendall(b"a")
        assert receive(client, 1) == b"a"
        forwarder.set(**{way: Fault(blackhole=True)})
        client.sendall(b"b")
        if way == "down":
            wait_until(lambda: bytes(echo.got) == b"ab", "the way up to work")
        assert silent(client)
        assert bytes(echo.got) == (b"ab" if way == "down" else b"a")
        forwarder.heal()
        assert receive(client, 1) == b"b"


def test_in_a_blackhole_neither_end_hears_that_the_other_left(
    forwarder: Forwarder, echo: Echo
) -> None:
    client = connect(forwarder)
    client.sendall(b"a")
    assert receive(client, 1) == b"a"
    forwarder.set(Fault(blackhole=True), Fault(blackhole=True))
    client.close()
    with connect(forwarder) as other:  # its kernel answers; what lies behind does not
        assert silent(other)
        assert echo.ended == 0
        forwarder.heal()
        wait_until(lambda: echo.ended == 1, "the end to be told")


def test_flips_damage_the_share_asked_for_and_one_way_only(
    forwarder: Forwarder, echo: Echo
) -> None:
    forwarder.set(down=Fault(flip_every_bytes=100))
    with connect(forwarder) as client:
        client.sendall(MESSAGE)
        came = receive(client, len(MESSAGE))
    assert bytes(echo.got) == MESSAGE
    wrong = sum(a != b for a, b in zip(came, MESSAGE, strict=True))
    assert 40 < wrong < 200


def test_a_reset_reaches_both_ends(forwarder: Forwarder, echo: Echo) -> None:
    with connect(forwarder) as client:
        client.sendall(b"a")
        assert receive(client, 1) == b"a"
        forwarder.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    wait_until(lambda: echo.ended == 1, "the far end to hear of it")
    with connect(forwarder) as client:
        client.sendall(b"b")
        assert receive(client, 1) == b"b"


def test_a_half_open_connection_stays_silent_and_new_ones_work(
    forwarder: Forwarder, echo: Echo
) -> None:
    with connect(forwarder) as old, connect(forwarder) as new:
        for client in (old, new):
            client.sendall(b"a")
            assert receive(client, 1) == b"a"
        forwarder.half_open()
        wait_until(lambda: echo.ended == 2, "the far end to forget")
        old.sendall(b"b")
        assert silent(old)
        assert silent(new)
        with connect(forwarder) as newer:
            newer.sendall(b"c")
            assert receive(newer, 1) == b"c"
        assert silent(old)


def test_refused_then_accepted_on_the_same_port(forwarder: Forwarder) -> None:
    with connect(forwarder) as open_one:
        wait_until(lambda: forwarder.open == 1, "the connection")
        forwarder.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(forwarder)
        open_one.sendall(b"a")
        assert receive(open_one, 1) == b"a"
    forwarder.accept()
    with connect(forwarder) as client:
        client.sendall(b"b")
        assert receive(client, 1) == b"b"


def test_another_target_gets_the_new_connections(forwarder: Forwarder) -> None:
    moved = Echo(greeting=b"moved")
    forwarder.target = moved.target
    with connect(forwarder) as client:
        assert receive(client, 5) == b"moved"
    moved.close()


def test_nobody_behind_it_is_a_reset() -> None:
    with (
        Forwarder(("127.0.0.1", free_port())) as forwarder,
        pytest.raises(ConnectionResetError),  # it may come as soon as there is a connection
        connect(forwarder) as client,
    ):
        client.recv(1)


def test_it_closes_in_the_middle_of_every_fault(echo: Echo) -> None:
    with Forwarder(echo.target) as forwarder:
        clients = [connect(forwarder) for _ in range(3)]
        wait_until(lambda: forwarder.open == 3, "the connections")
        forwarder.half_open()
        clients.append(connect(forwarder))
        slow = Fault(Shape(bytes_per_s=1.0), blackhole=True, slice_bytes=1)
        forwarder.set(slow, slow)
        for client in clients:
            client.sendall(MESSAGE)
    for client in clients:
        client.close()
    assert forwarder.open == 0
