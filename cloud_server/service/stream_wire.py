"""What a stream of frames' latents needs of whatever carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol, TypeVar

from splitfer.cloud_server.service.results import Inferred
from splitfer.shared.errors import SplitFerError
from splitfer.shared.labels import LabelSet


class End(Enum):
    """Why a stream ended: by ``drain``; the caller has said all; it was silent for too long; it
    hung up, or does not take its replies."""

    DRAINED = auto()
    DONE = auto()
    IDLE = auto()
    GONE = auto()


class Asked(NamedTuple):
    """What a message asks; ``tail`` empty and ``labels`` None mean the defaults."""

    payloads: Sequence[bytes]
    fingerprint: str
    tail: str
    labels: LabelSet | None


ReplyT = TypeVar("ReplyT")
ReplyT_co = TypeVar("ReplyT_co", covariant=True)


class Message(Protocol[ReplyT_co]):
    """One frame as it came. ``deadline_ms`` is what remained when it was sent, 0 where the caller
    names none, and perhaps no number that may be; ``sent_ms`` the caller's clock then, or 0."""

    size_bytes: int
    headers: Mapping[str, str]
    deadline_ms: float
    sent_ms: float

    def asked(self) -> Asked:
        """What it asks.

        Raises:
            MalformedPayload: that cannot be told.
        """
        ...

    def answer(self, inferred: Inferred) -> tuple[ReplyT_co, int]:
        """The reply, and its bytes."""
        ...

    def refusal(self, error: SplitFerError) -> tuple[ReplyT_co, int]:
        """The same, where it has no answer."""
        ...


class Wire(Protocol[ReplyT]):
    """What carries a stream; ``protocol`` and ``method`` are what its messages are counted as."""

    protocol: str
    method: str

    async def read(self) -> Message[ReplyT] | End:
        """The next message, or why there will be none. ``IDLE`` where none came for as long as
        the caller may be silent: asked again while replies are on the way.

        Raises:
            SplitFerError: something that is no message.
        """
        ...

    async def write(self, reply: ReplyT) -> None:
        """Hand one over; returns when there is room for the next one."""
        ...
