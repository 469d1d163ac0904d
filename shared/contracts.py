"""The values that pass between the parts: boxes, answers, paths, reasons, limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior, balanced, drawn_to_prior

# Of the messages between edge and server: each refuses to work with another one.
SCHEMA_VERSION = 2
# Of what the edge writes: its records and summary.
RECORD_VERSION = 5
# Of REST's replies.
REPLY_VERSION = 3

LATENT_SHAPE = (8, 28, 28)
FEATURES_SHAPE = (116, 28, 28)
CROP_SIDE = 224

# Of a face's side, in the longer side of its picture.
_MOST_PICTURES = 2

# What runs a network.
Device = Literal["cpu", "cuda"]


class AnswerPath(StrEnum):
    """Where an answer was computed."""

    CLOUD = "cloud"
    LOCAL = "local"
    IMAGE = "image"


class Reason(StrEnum):
    """Why the wanted path did not answer."""

    LINK_DOWN = "link_down"
    BREAKER_OPEN = "breaker_open"
    DEADLINE = "deadline"
    MODEL_MISMATCH = "model_mismatch"
    OVERLOADED = "overloaded"
    NOT_READY = "not_ready"
    UNAUTHORISED = "unauthorised"
    SERVER_ERROR = "server_error"


@dataclass(frozen=True)
class Box:
    """A face in a frame, in pixels; it may reach over the frame's border."""

    x: int
    y: int
    w: int
    h: int

    def as_list(self) -> list[int]:
        """``[x, y, w, h]``."""
        return [self.x, self.y, self.w, self.h]

    def lies_in(self, width: int, height: int) -> bool:
        """Whether it can be a face of a picture of this size: its centre is there, and neither side
        is much longer than the picture's own. Detectors reach over a border by a third."""
        centre_x, centre_y = self.x + self.w / 2, self.y + self.h / 2
        most_px = _MOST_PICTURES * max(width, height)
        return (
            0 <= centre_x <= width
            and 0 <= centre_y <= height
            and 1 <= self.w <= most_px
            and 1 <= self.h <= most_px
        )

    def scaled(self, by: float) -> Box:
        """The same face in the picture ``by`` times as large."""
        if by == 1:
            return self
        return Box(*(round(by * value) for value in self.as_list()))


@dataclass(frozen=True)
class Answer:
    """Seven calibrated probabilities, in the order of ``LABELS``, the tail they came from, whose
    labels it answered, and how common the classes are taken to be."""

    probabilities: tuple[float, ...]
    model: str
    labels: LabelSet
    prior: Prior = Prior.NATURAL

    def balanced(self, prior: tuple[float, ...]) -> Answer:
        """The same where all classes are equally common; ``prior`` are the shares in training. An
        answer that is balanced already stays as it is."""
        if self.prior is Prior.BALANCED:
            return self
        import numpy as np  # not above: settings are made of what stands here, and need none

        row = balanced(np.array([self.probabilities]), np.array(prior))[0]
        return replace(self, probabilities=tuple(map(float, row)), prior=Prior.BALANCED)

    @property
    def label(self) -> str:
        """The most probable class."""
        return LABELS[self.probabilities.index(max(self.probabilities))]

    @property
    def confidence(self) -> float:
        """The probability of ``label``."""
        return max(self.probabilities)

    def by_label(self) -> dict[str, float]:
        """``{label: probability}``, rounded to a ten-thousandth for print."""
        return {k: round(p, 4) for k, p in zip(LABELS, self.probabilities, strict=True)}


@dataclass(frozen=True)
class Trust:
    """How far to go by an answer: the probability of its label as far as the face's picture can
    show it, and whether that is too little.

    ``shares`` (how common each label was taken to be) and ``uncertain_below`` are what it was
    judged by."""

    confidence: float
    uncertain: bool
    shares: tuple[float, ...] | None = field(default=None, compare=False, repr=False)
    uncertain_below: float = field(default=UNCERTAIN_BELOW, compare=False, repr=False)

    def of(self, smoothed: SmoothedAnswer) -> Trust:
        """The same of what the face showed lately, judged alike."""
        if self.shares is None:
            return self
        return _trust(
            smoothed.label,
            smoothed.probabilities,
            smoothed.quality,
            self.shares,
            self.uncertain_below,
        )


def trust_in(
    answer: Answer, quality: float, shares: tuple[float, ...], uncertain_below: float
) -> Trust:
    """How far to go by an answer about a picture of this ``quality`` (0 to 1).

    ``shares`` say how common the answer takes each label to be. With less confidence than
    ``uncertain_below`` it is uncertain.
    """
    return _trust(answer.label, answer.probabilities, quality, shares, uncertain_below)


def _trust(
    label: str,
    probabilities: tuple[float, ...],
    quality: float,
    shares: tuple[float, ...],
    uncertain_below: float,
) -> Trust:
    import numpy as np

    row = drawn_to_prior(np.array(probabilities), np.array(shares), quality)
    confidence = float(row[LABELS.index(label)])
    return Trust(confidence, confidence < uncertain_below, shares, uncertain_below)


@dataclass(frozen=True)
class LatencyMs:
    """Milliseconds per stage; None where a stage did not run.

    ``link`` is the round trip minus the server's time, ``tail`` the tail that answered, ``total``
    from the decoded frame to the answer. Stages that a frame's faces share are repeated on each.
    """

    detect: float | None = None
    head: float | None = None
    encode: float | None = None
    link: float | None = None
    tail: float | None = None
    total: float | None = None


@dataclass(frozen=True)
class SmoothedAnswer:
    """What a face showed lately: seven probabilities in the order of ``LABELS``, a label that
    does not flicker between classes that are about as probable, and the mean quality of its
    pictures. ``trust`` is what that leaves of it; None where nobody looked."""

    label: str
    probabilities: tuple[float, ...]
    quality: float = 1.0
    trust: Trust | None = None

    @property
    def confidence(self) -> float:
        """The probability of ``label``, as far as the face's pictures can show it."""
        if self.trust:
            return self.trust.confidence
        return self.probabilities[LABELS.index(self.label)]

    @property
    def uncertain(self) -> bool:
        """Whether that is too little to go by."""
        return self.trust is not None and self.trust.uncertain

    def by_label(self) -> dict[str, float]:
        """``{label: probability}``, rounded to a ten-thousandth for print."""
        return {k: round(p, 4) for k, p in zip(LABELS, self.probabilities, strict=True)}


@dataclass(frozen=True)
class FaceAnswer:
    """The one answer of one face.

    ``rate`` and ``sent_bytes`` are of what was sent, whoever answered: the rate of the latent, None
    where none was sent. ``quality`` is the score of the face's picture (0 to 1, see
    ``vision.quality``) and ``trust`` what it leaves of the answer; None where nobody looked.
    ``track`` is the number of the face over time and ``smoothed`` what it showed lately; None where
    no face is followed. ``standing`` is what counts for ``smoothed`` in place of ``answer``: where
    the server was asked about the face a moment ago, this with what it said then.
    """

    box: Box
    answer: Answer
    path: AnswerPath
    reason: Reason | None = None
    latency_ms: LatencyMs = field(default_factory=LatencyMs)
    sent_bytes: int = 0
    rate: str | None = None
    quality: float | None = None
    trust: Trust | None = None
    track: int | None = None
    smoothed: SmoothedAnswer | None = None
    standing: Answer | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.answer.label

    @property
    def confidence(self) -> float:
        """The probability of ``label``, as far as the face's picture can show it."""
        return self.trust.confidence if self.trust else self.answer.confidence

    @property
    def uncertain(self) -> bool:
        """Whether that is too little to go by."""
        return self.trust is not None and self.trust.uncertain

    @property
    def shown(self) -> FaceAnswer | SmoothedAnswer:
        """Whose label, confidence and doubt people see: what the face showed lately where
        it is followed, else this answer."""
        return self.smoothed or self

    @property
    def probabilities(self) -> dict[str, float]:
        """``{label: probability}`` of the seven classes, calibrated; they sum to 1."""
        return dict(zip(LABELS, self.answer.probabilities, strict=True))


@dataclass(frozen=True)
class Limits:
    """Bounds on what a peer may ask for; each is a setting of the server.

    ``infer_message_bytes`` leaves room for ``faces_per_frame`` raw payloads.
    """

    faces_per_frame: int = 32
    smallest_face_px: int = 24
    body_bytes: int = 8 * 2**20
    picture_pixels: int = 16_000_000
    infer_message_bytes: int = 256 * 2**10
