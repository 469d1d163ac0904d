"""A server that answers rightly, except where a test tells it not to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc

from splitfer.shared.contracts import SCHEMA_VERSION
from splitfer.shared.labels import LABELS
from splitfer.shared.reply_checksum import infer_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import (
    SplitFerServicer,
    add_SplitFerServicer_to_server,
)
from splitfer.shared.weights import Weights, default_folder
from tests.chaos.faces import Picture

Spoil = Callable[[pb.InferResponse], pb.InferResponse]


class Played(SplitFerServicer):  # type: ignore[misc]  # generated without types
    """Answers for the payloads of known pictures. ``spoil`` changes each reply; ``model`` is the
    handshake's."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        weights = Weights(default_folder())
        self.model = pb.Model(
            schema_version=SCHEMA_VERSION,
            fingerprint=weights.manifest.fingerprint,
            labels=LABELS,
            codecs=weights.payload_codec.names,
            label_sets=[one.value for one in weights.manifest.label_sets],
        )
        self.spoil: Spoil = lambda reply: reply
        self.calls = 0
        self._name = f"{weights.manifest.fingerprint}/{weights.manifest.default_tail}"
        self._right = {
            face.payload: face.right[f"cloud:{weights.manifest.default_rate}"]
            for picture in pictures
            for face in picture.faces
        }

    def GetModel(self, request: Any, context: Any) -> pb.Model:
        return self.model

    def Infer(self, request: Any, context: Any) -> pb.InferResponse:
        self.calls += 1
        if request.fingerprint != self.model.fingerprint:
            context.set_trailing_metadata((("splitfer-code", "model_mismatch"),))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "other weights")
        results = [
            pb.FaceResult(
                answer=pb.Answer(
                    probabilities=self._right[one], model=self._name, labels=request.labels
                )
            )
            for one in request.payloads
        ]
        reply = pb.InferResponse(results=results, time=pb.ServerTime(total_ms=1.0, tail_ms=1.0))
        reply.checksum = infer_checksum(request.payloads, reply)
        return self.spoil(reply)


class PlayedServer:
    """The played servicer on a port of its own."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.played = Played(pictures)
        self._server = grpc.server(ThreadPoolExecutor(4))
        add_SplitFerServicer_to_server(self.played, self._server)
        self.target = ("127.0.0.1", self._server.add_insecure_port("127.0.0.1:0"))

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
