"""Every error that SplitFER raises on purpose.

    SplitFerError(code, retryable)
    |-- ConfigError            a setting is wrong; the process does not start
    |-- SourceError            a camera or file cannot be read
    |   `-- SourceRefused      it wants another user or password
    |-- OutputError            what a command prints cannot be written
    |-- WeightsError           weights are missing, altered, or give wrong numbers
    |   `-- WrongNumbersError  the last of these
    |-- CodecError             a payload cannot be decoded
    |   |-- MalformedPayload
    |   |-- PayloadTooLarge
    |   `-- ModelMismatch      made by other weights
    |-- UnknownModel           asked for by a name or version that is not served
    |-- ImageError             a picture cannot be read
    |   `-- UnsupportedPicture
    |-- AuthError              nobody that the server knows
    |   `-- Forbidden          somebody it knows, who may not ask this
    |-- RefusedChange          the weights served cannot be changed as asked
    |-- LinkError              the server cannot be asked; the edge falls back
    `-- ServeError
        |-- Overloaded
        |   `-- OverQuota      this caller has had its share
        |-- NotReady
        |-- DeadlineExceeded
        `-- InferenceFailed    the cause is logged, not sent

``code`` is ours and stable: it travels in gRPC's trailing metadata and in JSON bodies, since
gRPC's own codes are ambiguous. ``retryable`` says whether the same request may succeed later.
"""

from __future__ import annotations

from typing import ClassVar


class SplitFerError(Exception):
    """Root of the tree; ``str(error)`` is one readable line that says what to do."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class ConfigError(SplitFerError):
    """A setting is wrong; the message names its key."""

    code = "config"


class SourceError(SplitFerError):
    """A picture source cannot be opened or read."""

    code = "source"
    retryable = True


class SourceRefused(SourceError):
    """A camera or address wants another user or password: asking again may lock the user out."""

    retryable = False


class OutputError(SplitFerError):
    """What a command prints cannot be written; the message names the cause."""

    code = "output"


class WeightsError(SplitFerError):
    """Weights are missing, altered, or give wrong numbers on this machine."""

    code = "weights"


class WrongNumbersError(WeightsError):
    """A network is the file that its manifest names, and gives other numbers than the golden ones
    on this machine."""


class CodecError(SplitFerError):
    """A payload cannot be decoded."""

    code = "malformed_payload"


class MalformedPayload(CodecError):
    """Not a payload: wrong size, unknown codec, wrong checksum."""


class PayloadTooLarge(CodecError):
    """A message, body or picture is over a limit; the message names the limit."""

    code = "too_large"


class ModelMismatch(CodecError):
    """The latent was made by other weights than the ones that would read it."""

    code = "model_mismatch"


class UnknownModel(SplitFerError):
    """No model of that name or version is served."""

    code = "unknown_model"


class ImageError(SplitFerError):
    """Bytes that ought to be a picture are damaged or empty."""

    code = "bad_picture"


class UnsupportedPicture(ImageError):
    """A picture of a kind that is not read: other format, animated, 16-bit."""

    code = "unsupported_picture"


class AuthError(SplitFerError):
    """The caller did not show who it is."""

    code = "unauthorised"


class Forbidden(AuthError):
    """The caller is known, and may not ask this."""

    code = "forbidden"


class RefusedChange(SplitFerError):
    """The weights that are served cannot be changed as asked; all are served as before."""

    code = "refused"


class LinkError(SplitFerError):
    """The server cannot be reached."""

    code = "link_down"
    retryable = True


class ServeError(SplitFerError):
    """The server is at fault, or too busy."""


class Overloaded(ServeError):
    """Refused because the queue is full, or the caller has had its share.

    ``retry_after_s`` is how long to wait before the next try.
    """

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OverQuota(Overloaded):
    """Refused because this caller has had its share; others are answered."""


class NotReady(ServeError):
    """Starting or draining."""

    code = "not_ready"
    retryable = True


class DeadlineExceeded(ServeError):
    """The answer could not be given in time; no work was spent on it."""

    code = "deadline"


class InferenceFailed(ServeError):
    """The model failed on this input; the cause is in the server's log."""

    code = "inference_failed"


# Of errors that say nothing against what was asked: of the server alone, and of its load.
OWN_FAULTS = {NotReady.code, InferenceFailed.code}
SERVERS_CODES = {Overloaded.code, DeadlineExceeded.code, *OWN_FAULTS}


def is_callers_fault(result: object) -> bool:
    """Whether it is an error that the same message would meet again, or that a caller meets which
    has had its share."""
    servers = isinstance(result, ServeError) and not isinstance(result, OverQuota)
    return isinstance(result, SplitFerError) and not servers


def unexpected_error() -> SplitFerError:
    """In place of an exception that was not raised on purpose: its text may tell too much, and is
    only logged."""
    return SplitFerError("the server failed on this request; its log says why")
