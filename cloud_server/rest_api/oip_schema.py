"""The JSON of the Open Inference Protocol, as it is read and as OpenAPI documents it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field

# More than any model has; each one too many would be an error of its own.
_TENSORS_MAX = 8
_Side = Annotated[int, Field(ge=0, lt=2**63)]


class _Read(BaseModel):
    # Members that are not known are ignored, as the protocol wants it; known ones are of the kind
    # that they are said to be.
    model_config = ConfigDict(strict=True)


class RequestInput(_Read):
    """A tensor of a request: ``data``, or raw behind the JSON."""

    name: str
    datatype: str
    shape: Annotated[list[_Side], FailFast()] = Field(max_length=8)
    parameters: dict[str, Any] = Field({}, description="binary_data_size")
    data: list[Any] | None = Field(None, description="flat, or nested as the shape is")


class RequestOutput(_Read):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] = Field({}, description="binary_data")


class InferBody(_Read):
    """The JSON of a request."""

    id: str = ""
    parameters: dict[str, Any] = Field({}, description="rate, labels, timeout, binary_data_output")
    inputs: Annotated[list[RequestInput], FailFast()] = Field(max_length=_TENSORS_MAX)
    outputs: Annotated[list[RequestOutput], FailFast()] = Field(
        [], max_length=_TENSORS_MAX, description="all where none is named"
    )


class ReplyOutput(BaseModel):
    """A tensor of a reply."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = Field({}, description="binary_data_size, where it is raw")
    data: list[Any] | None = None


class ReplyBody(BaseModel):
    """The JSON of a reply."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ReplyOutput]


class OipErrorBody(BaseModel):
    """The body of every error below ``/v2``."""

    error: str


class ServerBody(BaseModel):
    """The server's metadata."""

    name: str
    version: str
    extensions: list[str]


class LiveBody(BaseModel):
    """The process answers."""

    live: bool


class ReadyBody(BaseModel):
    """The server takes work."""

    ready: bool


class ModelReadyBody(BaseModel):
    """The model takes work."""

    name: str
    ready: bool


class TensorBody(BaseModel):
    """A tensor that a model takes or gives; -1 is the number of faces."""

    name: str
    datatype: str
    shape: list[int]


class OipModelBody(BaseModel):
    """A model's metadata."""

    name: str
    versions: list[str] = Field(description="fingerprints of weights")
    platform: str
    inputs: list[TensorBody]
    outputs: list[TensorBody]
