"""Weights with a signature, and a server's answers from them, without a server."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from splitfer.shared.errors import LinkError
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.weights import default_folder
from splitfer.shared.weights.release import read_release, sign, write_release
from splitfer.shared.wire import WEIGHTS_PIECE_BYTES

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed_copy(folder: Path, release: int = 1, key: Ed25519PrivateKey = KEY) -> Path:
    """The shipped weights below ``folder``, signed."""
    source = default_folder()
    copy = Path(shutil.copytree(source, folder / source.name))
    sign_folder(copy, release, key)
    return copy


def sign_folder(folder: Path, release: int, key: Ed25519PrivateKey = KEY) -> None:
    """As the publisher would, without a look at the weights."""
    write_release(folder, sign((folder / "manifest.json").read_bytes(), release, key))


class PlayedServer:
    """Answers as a server does that hands out ``folder``. ``change`` may alter a reply; ``calls``
    counts pieces of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = 0
        self.break_after: int | None = None
        self.change: Callable[[pb.GetWeightsRequest, pb.WeightsPart], None] = lambda *_: None

    def __call__(self, request: pb.GetWeightsRequest) -> pb.WeightsPart:
        manifest = (self.folder / "manifest.json").read_bytes()
        same = hashlib.sha256(manifest).digest() == request.manifest_sha256
        if request.file:
            assert same
            self.calls += 1
            if self.break_after is not None and self.calls > self.break_after:
                raise LinkError("the link broke")
            data = (self.folder / request.file).read_bytes()
            piece = data[request.offset : request.offset + WEIGHTS_PIECE_BYTES]
            reply = pb.WeightsPart(data=piece, size_bytes=len(data))
        elif same:
            reply = pb.WeightsPart()
        else:
            release = read_release(self.folder)
            assert release is not None
            reply = pb.WeightsPart(
                data=manifest,
                size_bytes=len(manifest),
                release=release.number,
                signature=release.signature,
            )
        self.change(request, reply)
        return reply

    def close(self) -> None:
        pass
