"""``splitfer.v1.SplitFer``: messages to values, values to messages."""

from __future__ import annotations

import grpc

from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.grpc_api.deadline import deadline_of
from splitfer.cloud_server.grpc_api.message import Context
from splitfer.cloud_server.grpc_api.replies import write_infer_response, write_result, write_times
from splitfer.cloud_server.grpc_api.stream import InferStreams
from splitfer.cloud_server.grpc_api.wrap import Method
from splitfer.cloud_server.protocol.choices import wanted_labels, wanted_prior
from splitfer.cloud_server.service.service import Service
from splitfer.cloud_server.weights.handed_out import HandedOutWeights
from splitfer.shared.contracts import Limits
from splitfer.shared.reply_checksum import classify_checksum
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["SplitFer"].full_name
# Room for a message's own fields, and so that a body which is a little too large gets our error
# with its code instead of gRPC's bare RESOURCE_EXHAUSTED.
SLACK_BYTES = 64 * 2**10


class SplitFerServicer(pb_grpc.SplitFerServicer):
    """``splitfer.v1.SplitFer``: messages to values, values to messages.

    Calls without a deadline get ``deadline_ms``; without ``streams`` none are offered, nor weights
    without ``handed_out``.
    """

    def __init__(
        self,
        service: Service,
        deadline_ms: float,
        streams: InferStreams | None = None,
        handed_out: HandedOutWeights | None = None,
    ) -> None:
        self._service, self._deadline_ms = service, deadline_ms
        self._streams, self._handed_out = streams, handed_out

    async def GetModel(self, request: pb.GetModelRequest, _: Context) -> pb.Model:
        """Describe the weights that answer: the handshake of a device."""
        model = self._service.model(request.fingerprint)
        limits = model.limits
        return pb.Model(
            schema_version=model.schema_version,
            server_version=model.server_version,
            fingerprint=model.fingerprint,
            labels=model.labels,
            tails=model.tails,
            codecs=model.codecs,
            served=model.served,
            label_sets=[one.value for one in model.label_sets],
            stream_in_flight=self._streams.in_flight_max if self._streams else 0,
            limits=pb.Limits(
                faces_per_frame=limits.faces_per_frame,
                smallest_face_px=limits.smallest_face_px,
                body_bytes=limits.body_bytes,
                picture_pixels=limits.picture_pixels,
                infer_message_bytes=limits.infer_message_bytes,
            ),
        )

    async def Infer(self, request: pb.InferRequest, context: Context) -> pb.InferResponse:
        """One frame's latents -> a result per face."""
        inferred = await self._service.infer(
            request.fingerprint,
            request.tail,
            request.payloads,
            deadline_of(context, self._deadline_ms),
            wanted_labels(request.labels),
        )
        reply = pb.InferResponse()
        write_infer_response(reply, request.payloads, inferred)
        return reply

    async def InferStream(self, _: object, context: Context) -> None:
        """Frames' latents as they come -> their results as they are ready."""
        if self._streams is None or not self._streams.in_flight_max:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no streams here; use Infer")
        await self._streams.run(context)

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """A whole picture -> its faces and their results."""
        deadline = deadline_of(context, self._deadline_ms)
        labels, prior = wanted_labels(request.labels), wanted_prior(request.prior)
        seen = await self._service.classify(request.picture, request.tail, deadline, labels, prior)
        reply = pb.ClassifyResponse(width=seen.width, height=seen.height)
        for (box, result), quality, trust in zip(
            seen.faces, seen.qualities, seen.trust, strict=True
        ):
            face = reply.faces.add(box=pb.Box(x=box.x, y=box.y, w=box.w, h=box.h))
            write_result(face.result, result)
            face.quality = quality
            if trust is not None:
                face.confidence, face.uncertain = trust.confidence, trust.uncertain
        write_times(reply.time, seen.latency_ms)
        reply.checksum = classify_checksum(request.picture, reply)
        return reply

    async def GetWeights(self, request: pb.GetWeightsRequest, _: Context) -> pb.WeightsPart:
        """Give a device its part of the default weights, piece by piece."""
        if self._handed_out is None:
            raise NotImplementedError
        if request.file:
            data, size_bytes = await self._handed_out.piece(
                request.manifest_sha256, request.file, request.offset
            )
            return pb.WeightsPart(data=data, size_bytes=size_bytes)
        offer = await self._handed_out.offer(request.manifest_sha256)
        if offer is None:
            return pb.WeightsPart()
        return pb.WeightsPart(
            data=offer.manifest,
            size_bytes=len(offer.manifest),
            release=offer.release.number,
            signature=offer.release.signature,
        )


def splitfer_methods(limits: Limits) -> dict[str, Method]:
    """The unary methods of ``splitfer.v1``, with their messages and bounds."""
    return {
        "GetModel": Method(pb.GetModelRequest.DESCRIPTOR),
        "Infer": Method(
            pb.InferRequest.DESCRIPTOR,
            limits.infer_message_bytes + SLACK_BYTES,
            Scope.INFER,
            refusals=_refusals,
        ),
        "Classify": Method(
            pb.ClassifyRequest.DESCRIPTOR, limits.body_bytes + SLACK_BYTES, Scope.IMAGE
        ),
        "GetWeights": Method(pb.GetWeightsRequest.DESCRIPTOR, scope=Scope.INFER),
    }


def _refusals(reply: pb.InferResponse) -> set[str] | None:
    """Where no face of the message has an answer, why: read, it cost more than they did."""
    if any(result.HasField("answer") for result in reply.results):
        return None
    return {result.error.code for result in reply.results}
