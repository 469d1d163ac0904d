from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetModelRequest(_message.Message):
    __slots__ = ("fingerprint",)
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    def __init__(self, fingerprint: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("schema_version", "server_version", "fingerprint", "labels", "tails", "codecs", "limits", "served", "stream_in_flight", "label_sets")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TAILS_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    STREAM_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LABEL_SETS_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    server_version: str
    fingerprint: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    tails: _containers.RepeatedScalarFieldContainer[str]
    codecs: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    served: _containers.RepeatedScalarFieldContainer[str]
    stream_in_flight: int
    label_sets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, schema_version: _Optional[int] = ..., server_version: _Optional[str] = ..., fingerprint: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., tails: _Optional[_Iterable[str]] = ..., codecs: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., served: _Optional[_Iterable[str]] = ..., stream_in_flight: _Optional[int] = ..., label_sets: _Optional[_Iterable[str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("faces_per_frame", "smallest_face_px", "body_bytes", "picture_pixels", "infer_message_bytes")
    FACES_PER_FRAME_FIELD_NUMBER: _ClassVar[int]
    SMALLEST_FACE_PX_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    PICTURE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    INFER_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    faces_per_frame: int
    smallest_face_px: int
    body_bytes: int
    picture_pixels: int
    infer_message_bytes: int
    def __init__(self, faces_per_frame: _Optional[int] = ..., smallest_face_px: _Optional[int] = ..., body_bytes: _Optional[int] = ..., picture_pixels: _Optional[int] = ..., infer_message_bytes: _Optional[int] = ...) -> None: ...

class InferRequest(_message.Message):
    __slots__ = ("fingerprint", "tail", "payloads", "labels")
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    fingerprint: str
    tail: str
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    labels: str
    def __init__(self, fingerprint: _Optional[str] = ..., tail: _Optional[str] = ..., payloads: _Optional[_Iterable[bytes]] = ..., labels: _Optional[str] = ...) -> None: ...

class InferResponse(_message.Message):
    __slots__ = ("results", "time", "checksum")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[FaceResult]
    time: ServerTime
    checksum: int
    def __init__(self, results: _Optional[_Iterable[_Union[FaceResult, _Mapping]]] = ..., time: _Optional[_Union[ServerTime, _Mapping]] = ..., checksum: _Optional[int] = ...) -> None: ...

class InferStreamRequest(_message.Message):
    __slots__ = ("id", "deadline_ms", "request", "traceparent", "sent_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    SENT_MS_FIELD_NUMBER: _ClassVar[int]
    id: int
    deadline_ms: float
    request: InferRequest
    traceparent: str
    sent_ms: float
    def __init__(self, id: _Optional[int] = ..., deadline_ms: _Optional[float] = ..., request: _Optional[_Union[InferRequest, _Mapping]] = ..., traceparent: _Optional[str] = ..., sent_ms: _Optional[float] = ...) -> None: ...

class InferStreamResponse(_message.Message):
    __slots__ = ("id", "response", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: InferResponse
    error: Error
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[InferResponse, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class FaceResult(_message.Message):
    __slots__ = ("answer", "error")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    error: Error
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("probabilities", "model", "labels", "prior")
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    model: str
    labels: str
    prior: str
    def __init__(self, probabilities: _Optional[_Iterable[float]] = ..., model: _Optional[str] = ..., labels: _Optional[str] = ..., prior: _Optional[str] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "retryable")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retryable: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ...) -> None: ...

class ServerTime(_message.Message):
    __slots__ = ("total_ms", "tail_ms", "detect_ms", "head_ms")
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    TAIL_MS_FIELD_NUMBER: _ClassVar[int]
    DETECT_MS_FIELD_NUMBER: _ClassVar[int]
    HEAD_MS_FIELD_NUMBER: _ClassVar[int]
    total_ms: float
    tail_ms: float
    detect_ms: float
    head_ms: float
    def __init__(self, total_ms: _Optional[float] = ..., tail_ms: _Optional[float] = ..., detect_ms: _Optional[float] = ..., head_ms: _Optional[float] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("picture", "tail", "labels", "prior")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    picture: bytes
    tail: str
    labels: str
    prior: str
    def __init__(self, picture: _Optional[bytes] = ..., tail: _Optional[str] = ..., labels: _Optional[str] = ..., prior: _Optional[str] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("width", "height", "faces", "time", "checksum")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    faces: _containers.RepeatedCompositeFieldContainer[DetectedFace]
    time: ServerTime
    checksum: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., faces: _Optional[_Iterable[_Union[DetectedFace, _Mapping]]] = ..., time: _Optional[_Union[ServerTime, _Mapping]] = ..., checksum: _Optional[int] = ...) -> None: ...

class DetectedFace(_message.Message):
    __slots__ = ("box", "result", "quality", "confidence", "uncertain")
    BOX_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    UNCERTAIN_FIELD_NUMBER: _ClassVar[int]
    box: Box
    result: FaceResult
    quality: float
    confidence: float
    uncertain: bool
    def __init__(self, box: _Optional[_Union[Box, _Mapping]] = ..., result: _Optional[_Union[FaceResult, _Mapping]] = ..., quality: _Optional[float] = ..., confidence: _Optional[float] = ..., uncertain: _Optional[bool] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x", "y", "w", "h")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    W_FIELD_NUMBER: _ClassVar[int]
    H_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    w: int
    h: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., w: _Optional[int] = ..., h: _Optional[int] = ...) -> None: ...

class GetWeightsRequest(_message.Message):
    __slots__ = ("manifest_sha256", "file", "offset")
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    manifest_sha256: bytes
    file: str
    offset: int
    def __init__(self, manifest_sha256: _Optional[bytes] = ..., file: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class WeightsPart(_message.Message):
    __slots__ = ("data", "size_bytes", "release", "signature")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    size_bytes: int
    release: int
    signature: bytes
    def __init__(self, data: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., release: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...
