"""The one table from what a call says to why the edge answered alone."""

from __future__ import annotations

import grpc

from splitfer.shared.contracts import Reason
from splitfer.shared.wire import CODE_KEY

# Our own code decides where there is one, since gRPC's are ambiguous.
_BY_CODE = {
    "model_mismatch": Reason.MODEL_MISMATCH,
    "overloaded": Reason.OVERLOADED,
    "not_ready": Reason.NOT_READY,
    "deadline": Reason.DEADLINE,
    "unauthorised": Reason.UNAUTHORISED,
    "forbidden": Reason.UNAUTHORISED,
}
# Without our code, something between us and the server spoke, or nobody did.
_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: Reason.LINK_DOWN,
    grpc.StatusCode.CANCELLED: Reason.LINK_DOWN,
    grpc.StatusCode.UNKNOWN: Reason.LINK_DOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE,
    grpc.StatusCode.UNAUTHENTICATED: Reason.UNAUTHORISED,
    grpc.StatusCode.PERMISSION_DENIED: Reason.UNAUTHORISED,
}


def reason_of_code(code: str) -> Reason:
    """The reason for a face's own error code."""
    return _BY_CODE.get(code, Reason.SERVER_ERROR)


def code_of_call(error: grpc.RpcError) -> str | None:
    """Our own code of a failed call; None where it has none."""
    for entry in error.trailing_metadata() or ():
        if entry.key == CODE_KEY:
            return str(entry.value)
    return None


def reason_of_call(error: grpc.RpcError) -> Reason:
    """The reason for a failed call."""
    code = code_of_call(error)
    if code is not None:
        return reason_of_code(code)
    return _BY_STATUS.get(error.code(), Reason.SERVER_ERROR)
