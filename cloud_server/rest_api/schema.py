"""The JSON bodies of the REST API, as OpenAPI documents them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header
from pydantic import BaseModel, Field

from splitfer.cloud_server.service.results import Classified, FaceResult, ServedModel
from splitfer.shared.contracts import REPLY_VERSION, Box, Trust
from splitfer.shared.errors import SplitFerError
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior
from splitfer.shared.wire import DEADLINE_HEADER, DEADLINE_MS_MAX

DeadlineMs = Annotated[
    float | None,
    Header(
        alias=DEADLINE_HEADER,
        description="milliseconds, from arrival, in which the answer is of use",
        gt=0,
        le=DEADLINE_MS_MAX,
    ),
]


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(examples=["bad_picture"], description="stable; decide by this")
    message: str = Field(description="one readable line")
    retryable: bool = Field(description="whether the same request may succeed later")


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class FaceAnswer(BaseModel):
    """A face that was recognised."""

    box: list[int] = Field(description="[x, y, w, h] in pixels", examples=[[170, 80, 108, 108]])
    label: str = Field(examples=["happy"])
    confidence: float = Field(
        description="probability of the label, as far as the face's picture can show it"
    )
    probabilities: dict[str, float]
    model: str = Field(description="<fingerprint>/<tail>")
    labels: LabelSet = Field(description="whose labels these are")
    prior: Prior = Field(description="how common the classes are taken to be")
    quality: float = Field(
        ge=0, le=1, description="of the face's picture: 1 is a good one, 0 shows nothing"
    )
    uncertain: bool = Field(description="whether the confidence is too low to go by")


class FaceError(BaseModel):
    """A face that was found and could not be answered."""

    box: list[int]
    error: ErrorDetail


class LatencyBody(BaseModel):
    """Milliseconds; null where a stage did not run."""

    detect: float | None
    head: float | None
    encode: float | None
    link: float | None
    tail: float | None
    total: float | None


class FacesBody(BaseModel):
    """A picture's faces, largest first; an empty list where there is none."""

    schema_version: int
    width: int = Field(description="after the EXIF rotation; boxes are in these pixels")
    height: int
    faces: list[FaceAnswer | FaceError]
    latency_ms: LatencyBody


class LimitsBody(BaseModel):
    """Bounds on what may be asked."""

    faces_per_frame: int
    smallest_face_px: int
    body_bytes: int
    picture_pixels: int
    infer_message_bytes: int


class ModelBody(BaseModel):
    """What answers here."""

    schema_version: int
    server_version: str
    fingerprint: str
    labels: list[str]
    tails: list[str] = Field(description="the first is the default")
    codecs: list[str]
    limits: LimitsBody
    served: list[str] = Field(description="fingerprints of all weights, the default first")
    label_sets: list[LabelSet] = Field(description="of the default tail; the first is the default")


class NotReadyBody(ErrorBody):
    """Why the process takes no work: ``starting`` or ``draining``."""

    status: str
    reason: str


class HealthBody(BaseModel):
    """State of the process."""

    status: str


def faces_body(seen: Classified) -> FacesBody:
    """The reply of ``POST /v1/faces``."""
    return FacesBody(
        schema_version=REPLY_VERSION,
        width=seen.width,
        height=seen.height,
        faces=[
            _face(box, result, quality, trust)
            for (box, result), quality, trust in zip(
                seen.faces, seen.qualities, seen.trust, strict=True
            )
        ],
        latency_ms=LatencyBody(**_rounded(vars(seen.latency_ms))),
    )


def model_body(model: ServedModel) -> ModelBody:
    """The reply of ``GET /v1/model``."""
    return ModelBody.model_validate({**vars(model), "limits": vars(model.limits)})


def error_detail(error: SplitFerError) -> ErrorDetail:
    """An error as JSON says it."""
    return ErrorDetail(code=error.code, message=str(error), retryable=error.retryable)


def _face(
    box: Box, result: FaceResult, quality: float, trust: Trust | None
) -> FaceAnswer | FaceError:
    if isinstance(result, SplitFerError):
        return FaceError(box=box.as_list(), error=error_detail(result))
    assert trust is not None
    return FaceAnswer(
        box=box.as_list(),
        label=result.label,
        confidence=trust.confidence,
        probabilities=dict(zip(LABELS, result.probabilities, strict=True)),
        model=result.model,
        labels=result.labels,
        prior=result.prior,
        quality=round(quality, 3),
        uncertain=trust.uncertain,
    )


def _rounded(times: dict[str, Any]) -> dict[str, Any]:
    return {name: None if ms is None else round(ms, 3) for name, ms in times.items()}
