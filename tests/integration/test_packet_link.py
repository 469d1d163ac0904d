"""Real TCP between two namespaces, shaped packet by packet; where the machine has them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.net.namespaces import ADDRESSES, Namespaces, NamespacesMissing
from benchmarks.net.shape import Shape

ECHO = f"""
import socket
listener = socket.create_server(("{ADDRESSES["cloud"]}", 5000))
print("listening", flush=True)
while True:
    peer, _ = listener.accept()
    while data := peer.recv(65536):
        peer.sendall(data)
"""
CLIENT = f"""
import socket, sys, threading, time
message = bytes(range(256)) * (int(sys.argv[1]) // 256)
with socket.create_connection(("{ADDRESSES["cloud"]}", 5000), 60) as client:
    start_s = time.monotonic()
    threading.Thread(target=client.sendall, args=(message,)).start()
    came = b""
    while len(came) < len(message):
        came += client.recv(65536)
    print(time.monotonic() - start_s)
assert came == message
"""


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    try:
        with Namespaces(seed=1) as namespaces:
            yield namespaces
    except NamespacesMissing as error:
        pytest.skip(str(error))


@contextmanager
def echo(namespaces: Namespaces) -> Iterator[None]:
    command = namespaces.command("cloud", sys.executable, "-c", ECHO)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        try:
            yield
        finally:
            server.kill()


def echo_s(namespaces: Namespaces, size_bytes: int) -> float:
    """Seconds to send so many bytes and get every one back."""
    command = namespaces.command("edge", sys.executable, "-c", CLIENT, str(size_bytes))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_rate_and_delay_hold_back_at_least_what_they_say(namespaces: Namespaces) -> None:
    shape = Shape(bytes_per_s=100_000, delay_ms=50)
    namespaces.shape(shape, shape)
    with echo(namespaces):
        assert echo_s(namespaces, 51_200) >= 0.1 + 0.512
    counts = namespaces.shape(shape, shape)
    assert counts["up"]["bytes"] > 51_200
    assert counts["down"]["bytes"] > 51_200


@pytest.mark.parametrize(
    "shape",
    [
        Shape(delay_ms=5, loss=0.1),
        Shape(delay_ms=5, jitter_ms=5, duplicates=0.2, ordered=False),
    ],
)
def test_tcp_gets_everything_through_loss_disorder_and_copies(
    namespaces: Namespaces, shape: Shape
) -> None:
    namespaces.shape(shape, shape)
    with echo(namespaces):
        echo_s(namespaces, 102_400)
    counts = namespaces.shape(shape, shape)
    assert (counts["up"]["lost"] > 0) == (shape.loss > 0)


def test_nothing_is_left_behind(namespaces: Namespaces) -> None:
    with Namespaces() as another:
        pass
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert another.command("edge")[3] not in listed.stdout
