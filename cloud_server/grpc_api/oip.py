"""The Open Inference Protocol over gRPC: ``inference.GRPCInferenceService``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.grpc_api.deadline import deadline_of
from splitfer.cloud_server.grpc_api.message import Context
from splitfer.cloud_server.grpc_api.splitfer import SLACK_BYTES
from splitfer.cloud_server.grpc_api.wrap import Method
from splitfer.cloud_server.oip.models import (
    EXTENSIONS,
    OUTPUTS,
    PLATFORM,
    SERVER_NAME,
    OipModels,
    scope_of,
)
from splitfer.cloud_server.oip.tensor import (
    BYTES,
    FP32,
    UINT8,
    InputTensor,
    OutputTensor,
    TensorSpec,
)
from splitfer.cloud_server.service.service import Service
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import MalformedPayload, UnknownModel
from splitfer.shared.stubs.inference import grpc_inference_pb2 as pb
from splitfer.shared.stubs.inference import grpc_inference_pb2_grpc as pb_grpc
from splitfer.shared.version import server_version

OIP_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
# The field of InferTensorContents that holds a datatype; others are never read.
_FIELDS = {UINT8: "uint_contents", FP32: "fp32_contents", BYTES: "bytes_contents"}
_Metadata = pb.ModelMetadataResponse.TensorMetadata
_Output = pb.ModelInferResponse.InferOutputTensor


class OipServicer(pb_grpc.GRPCInferenceServiceServicer):
    """Messages to values, values to messages."""

    def __init__(self, service: Service, admission: Admission, config: CloudConfig) -> None:
        self._admission, self._deadline_ms = admission, config.deadline_ms
        self._models = OipModels(service, config.limits.faces_per_frame)

    async def ServerLive(self, _: pb.ServerLiveRequest, __: Context) -> pb.ServerLiveResponse:
        """Always true: the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _: pb.ServerReadyRequest, __: Context) -> pb.ServerReadyResponse:
        """Whether the server takes work."""
        return pb.ServerReadyResponse(ready=self._admission.health.ready)

    async def ModelReady(
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """The model takes work; one that is not known does not."""
        if not self._admission.health.ready:
            return pb.ModelReadyResponse(ready=False)
        with grpc_caller(self._admission, context).request():
            try:
                self._models.find(request.name, request.version)
            except UnknownModel:
                return pb.ModelReadyResponse(ready=False)
            return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(
        self, _: pb.ServerMetadataRequest, __: Context
    ) -> pb.ServerMetadataResponse:
        """The server's name and version."""
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=server_version(), extensions=EXTENSIONS
        )

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, _: Context
    ) -> pb.ModelMetadataResponse:
        """A model's inputs and outputs."""
        model = self._models.find(request.name, request.version)
        return pb.ModelMetadataResponse(
            name=model.name,
            versions=model.versions,
            platform=PLATFORM,
            inputs=[_metadata(model.input)],
            outputs=[_metadata(spec) for spec in OUTPUTS],
        )

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Ask a model. The outputs are raw where the inputs were."""
        grpc_caller(self._admission, context, scope_of(request.model_name))
        model = self._models.find(request.model_name, request.model_version)
        outputs = await self._models.infer(
            model,
            _inputs(request),
            _parameters(request.parameters),
            [output.name for output in request.outputs],
            deadline_of(context, self._deadline_ms),
        )
        raw = bool(request.raw_input_contents)
        return pb.ModelInferResponse(
            model_name=model.name,
            model_version=model.version,
            id=request.id,
            outputs=[_output(output, raw) for output in outputs],
            raw_output_contents=[output.raw() for output in outputs] if raw else (),
        )


def oip_methods(limits: Limits) -> dict[str, Method]:
    """The methods of the Open Inference Protocol, with their messages and bounds."""
    return {
        "ServerLive": Method(pb.ServerLiveRequest.DESCRIPTOR, open_to_all=True),
        "ServerReady": Method(pb.ServerReadyRequest.DESCRIPTOR, open_to_all=True),
        # A server that is not ready says so to anybody; else it is asked as the others are.
        "ModelReady": Method(pb.ModelReadyRequest.DESCRIPTOR, open_to_all=True),
        "ServerMetadata": Method(pb.ServerMetadataRequest.DESCRIPTOR),
        "ModelMetadata": Method(pb.ModelMetadataRequest.DESCRIPTOR),
        "ModelInfer": Method(pb.ModelInferRequest.DESCRIPTOR, limits.body_bytes + SLACK_BYTES),
    }


def _metadata(spec: TensorSpec) -> _Metadata:
    return _Metadata(name=spec.name, datatype=spec.datatypes[0], shape=spec.shape)


def _inputs(request: pb.ModelInferRequest) -> list[InputTensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise MalformedPayload(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    inputs = []
    for place, tensor in enumerate(request.inputs):
        if raw and tensor.HasField("contents"):
            raise MalformedPayload("contents and raw_input_contents do not go together")
        field = _FIELDS.get(tensor.datatype)
        # Numbers that nobody reads would be kept, in eight bytes each, until the answer.
        if any(given.name != field for given, _ in tensor.contents.ListFields()):
            raise MalformedPayload(f"contents of {tensor.datatype[:20]!r} stand in {field}")
        typed = getattr(tensor.contents, field) if field and not raw else ()
        contents = raw[place] if raw else typed
        inputs.append(InputTensor(tensor.name, tensor.datatype, tensor.shape, contents))
    return inputs


def _parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    kinds = ((name, value, value.WhichOneof("parameter_choice")) for name, value in given.items())
    return {name: getattr(value, kind) for name, value, kind in kinds if kind}


def _output(output: OutputTensor, raw: bool) -> _Output:
    described = _Output(name=output.name, datatype=output.datatype, shape=output.shape)
    if not raw:
        values: Iterable[Any] = output.flat()
        if output.datatype == BYTES:
            values = [value.encode() for value in values]
        getattr(described.contents, _FIELDS[output.datatype]).extend(values)
    return described
