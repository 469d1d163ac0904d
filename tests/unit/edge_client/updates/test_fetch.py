from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from splitfer.edge_client.updates.fetch import MOST_BYTES, Offered, Stopped, fetch, offered
from splitfer.shared.errors import LinkError, WeightsError
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights import Weights
from tests.unit.edge_client.updates.signed_weights import KEY, PlayedServer, signed_copy

PUBLIC = KEY.public_key()


@pytest.fixture
def server(tmp_path: Path) -> PlayedServer:
    return PlayedServer(signed_copy(tmp_path / "server"))


def an_offer(server: PlayedServer, tmp_path: Path) -> Offered:
    offer = offered(server, tmp_path / "nothing", PUBLIC)
    assert offer is not None
    return offer


def test_what_is_fetched_are_weights_without_the_servers_part(
    server: PlayedServer, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    fetch(server, an_offer(server, tmp_path), part)
    weights = Weights(part)
    weights.head(1)
    weights.tail("local", 1)
    names = {file.name for file in part.iterdir()}
    assert {"manifest.json", "head.onnx", "local.onnx", "entropy.bin", "golden.npz"} <= names
    assert "cloud.onnx" not in names
    assert not any(name.endswith(".draft") for name in names)


def test_who_has_them_is_offered_nothing(server: PlayedServer) -> None:
    assert offered(server, server.folder, PUBLIC) is None


def test_a_transfer_that_broke_off_goes_on_where_it_was(
    server: PlayedServer, tmp_path: Path
) -> None:
    offer, part = an_offer(server, tmp_path), tmp_path / "part"
    broken = 0
    while True:
        server.break_after = server.calls + 7
        try:
            fetch(server, offer, part)
        except LinkError:
            broken += 1
            continue
        break
    assert broken >= 4
    whole = server.calls - broken
    server.break_after = None
    fetch(server, offer, tmp_path / "other")
    assert whole == server.calls - broken - whole  # nothing was asked for twice
    Weights(part).head(1)


@pytest.mark.parametrize("change", ["signature", "release", "manifest", "key"])
def test_what_the_publisher_did_not_sign_is_not_looked_at(
    change: str, server: PlayedServer, tmp_path: Path
) -> None:
    key = PUBLIC

    def changed(_: pb.GetWeightsRequest, reply: pb.WeightsPart) -> None:
        if change == "signature":
            reply.signature = bytes([reply.signature[0] ^ 1]) + reply.signature[1:]
        elif change == "release":
            reply.release += 1
        elif change == "manifest":
            reply.data = reply.data.replace(b"81cd", b"81ce")

    server.change = changed
    if change == "key":
        key = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(WeightsError, match="signature"):
        offered(server, tmp_path, key)


@pytest.mark.parametrize("change", ["bit", "short", "long", "huge", "trickle"])
def test_a_file_that_is_another_is_not_kept(
    change: str, server: PlayedServer, tmp_path: Path
) -> None:
    def changed(request: pb.GetWeightsRequest, reply: pb.WeightsPart) -> None:
        if request.file != "local.onnx" or not reply.data:
            return
        if change == "bit" and request.offset:
            reply.data = bytes([reply.data[0] ^ 1]) + reply.data[1:]
        elif change == "short" and request.offset:
            reply.data = b""
        elif change == "long":
            reply.size_bytes = 10
        elif change == "huge":
            reply.size_bytes = MOST_BYTES + 1
        elif change == "trickle":
            reply.data = reply.data[:100]

    server.change = changed
    offer, part = an_offer(server, tmp_path), tmp_path / "part"
    with pytest.raises(WeightsError, match=r"local\.onnx"):
        fetch(server, offer, part)
    assert server.calls < 200
    assert not (part / "local.onnx").exists()
    assert not (part / "local.onnx.draft").exists()
    assert not (part / "manifest.json").exists()
    server.change = lambda *_: None
    fetch(server, offer, part)
    Weights(part).tail("local", 1)


def test_a_run_that_ends_does_not_wait_for_it(server: PlayedServer, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        fetch(server, an_offer(server, tmp_path), tmp_path / "part", lambda: server.calls > 5)


def test_a_disk_without_room_is_left_alone(
    server: PlayedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(WeightsError, match="no room"):
        fetch(server, an_offer(server, tmp_path), tmp_path / "part")
