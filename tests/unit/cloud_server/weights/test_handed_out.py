from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from splitfer.cloud_server.cli import run
from splitfer.cloud_server.weights.handed_out import HandedOutWeights
from splitfer.shared.errors import ModelMismatch, UnknownModel, WeightsError
from splitfer.shared.weights.release import (
    RELEASE_FILE,
    check_signature,
    read_public_key,
    read_release,
)
from splitfer.shared.wire import WEIGHTS_PIECE_BYTES
from tests.unit.edge_client.updates.signed_weights import signed_copy
from tests.unit.shared.weights.test_weights import replace_golden


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return signed_copy(tmp_path)


@pytest.fixture
def handed_out(folder: Path) -> HandedOutWeights:
    default = SimpleNamespace(weights=SimpleNamespace(folder=folder))
    return HandedOutWeights(cast(Any, SimpleNamespace(default=default)))


async def test_an_offer_is_the_manifest_and_its_release(
    handed_out: HandedOutWeights, folder: Path
) -> None:
    offer = await handed_out.offer(b"")
    assert offer is not None
    assert offer.manifest == (folder / "manifest.json").read_bytes()
    assert offer.release.number == 1
    assert await handed_out.offer(hashlib.sha256(offer.manifest).digest()) is None


async def test_without_a_signature_nothing_is_handed_out(
    handed_out: HandedOutWeights, folder: Path
) -> None:
    (folder / RELEASE_FILE).unlink()
    assert await handed_out.offer(b"") is None
    (folder / RELEASE_FILE).write_text("{")
    with pytest.raises(WeightsError, match="no release"):
        await handed_out.offer(b"")


async def test_pieces_make_the_file(handed_out: HandedOutWeights, folder: Path) -> None:
    offer = await handed_out.offer(b"")
    assert offer is not None
    mark, file = hashlib.sha256(offer.manifest).digest(), b""
    while True:
        piece, size = await handed_out.piece(mark, "head.onnx", len(file))
        if not piece:
            break
        assert len(piece) <= WEIGHTS_PIECE_BYTES
        file += piece
    assert file == (folder / "head.onnx").read_bytes()
    assert size == len(file)
    assert await handed_out.piece(mark, "head.onnx", 2**64 - 1) == (b"", size)


@pytest.mark.parametrize(
    "file", ["cloud.onnx", "release.json", "manifest.json", "../MEANINGS", "/etc/passwd", "a\0b"]
)
async def test_no_other_file_can_be_read(handed_out: HandedOutWeights, file: str) -> None:
    offer = await handed_out.offer(b"")
    assert offer is not None
    with pytest.raises(UnknownModel):
        await handed_out.piece(hashlib.sha256(offer.manifest).digest(), file, 0)


async def test_pieces_of_two_weights_are_not_mixed(
    handed_out: HandedOutWeights, folder: Path
) -> None:
    offer = await handed_out.offer(b"")
    assert offer is not None
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    with pytest.raises(ModelMismatch):
        await handed_out.piece(hashlib.sha256(offer.manifest).digest(), "head.onnx", 0)


def test_the_command_signs_what_it_has_looked_at(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "publisher.pem"
    assert run(["sign", "--new-key", str(key)]) == 0
    for release in (2, 3):  # the folder has been signed already
        assert run(["sign", str(folder), "--key", str(key)]) == 0
        found = read_release(folder)
        assert found is not None
        assert found.number == release
        manifest = (folder / "manifest.json").read_bytes()
        check_signature(manifest, found, read_public_key(key.with_suffix(".pub")))
    assert run(["sign", str(folder), "--key", str(key), "--release", "0"]) == 2
    (folder / "local.onnx").write_bytes(b"altered")
    assert run(["sign", str(folder), "--key", str(key)]) == 4
    assert run(["sign", "--new-key", str(key)]) == 2
    assert run(["sign", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "local.onnx" in said
    assert "--key" in said


@pytest.mark.parametrize(("model", "code"), [("edgecnn", 0), ("local", 4)])
def test_other_numbers_here_of_a_choice_of_the_device_are_a_warning(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, code: int
) -> None:
    key = tmp_path / "publisher.pem"
    assert run(["sign", "--new-key", str(key)]) == 0
    logits = f"logits_{model}_crowd"
    with np.load(folder / "golden.npz") as golden:
        changed = golden[logits] + 1
    replace_golden(folder, **{logits: changed})
    assert run(["sign", str(folder), "--key", str(key)]) == code
    assert f"tail '{model}' gives wrong logits here" in capsys.readouterr().err
