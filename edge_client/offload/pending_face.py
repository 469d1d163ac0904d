"""One face of a frame until its answer is given: who answered it so far, and what was sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from splitfer.shared.contracts import (
    Answer,
    AnswerPath,
    Box,
    FaceAnswer,
    LatencyMs,
    Reason,
    trust_in,
)


@dataclass
class PendingFace:
    """A face whose answer may still change. ``own`` is the device's answer and ``said`` the
    server's, where they gave one; ``standing`` is the device's with what the server said of the
    face in an earlier frame."""

    box: Box
    quality: float | None = None
    answer: Answer | None = None
    own: Answer | None = None
    said: Answer | None = None
    standing: Answer | None = None
    path: AnswerPath = AnswerPath.LOCAL
    reason: Reason | None = None
    times: LatencyMs = field(default_factory=LatencyMs)
    sent_bytes: int = 0
    rate: str | None = None
    encode_ms: float | None = None

    def by_device(self, own: Answer, times: LatencyMs, reason: Reason | None) -> None:
        """The device answered, for this reason; None where it was chosen."""
        self.answer = self.own = own
        self.path, self.times, self.reason = AnswerPath.LOCAL, times, reason

    def kept(self, reason: Reason | None, total_ms: float | None = None) -> None:
        """The device's answer, which was there before, stands for this reason; ``total_ms`` if
        another was waited for."""
        self.reason = reason
        if total_ms is not None:
            self.times = replace(self.times, total=total_ms)

    def by_server(
        self, answer: Answer, path: AnswerPath, times: LatencyMs, together: bool = False
    ) -> None:
        """The server answered. ``together``: the mean of its and the device's probabilities is
        given, which is there when the later of both is."""
        self.said, self.standing = answer, None
        if together and self.own is not None:
            totals = (one.total for one in (times, self.times) if one.total is not None)
            times = replace(times, total=max(totals))
            answer = _mean(answer, self.own)
        self.answer, self.path, self.times, self.reason = answer, path, times, None

    def remember(self, said: Answer, together: bool) -> None:
        """What the server said of it before stands, with the device's answer or in its place."""
        self.standing = _mean(said, self.own) if together and self.own is not None else said

    def sent(self, sent_bytes: int, rate: str | None, encode_ms: float | None = None) -> None:
        """Note what was sent of the face, whoever answers it."""
        self.sent_bytes, self.rate, self.encode_ms = sent_bytes, rate, encode_ms

    def given(
        self,
        balance: tuple[float, ...] | None,
        shares: tuple[float, ...],
        uncertain_below: float,
    ) -> FaceAnswer:
        """The answer that is given.

        Until here probabilities are natural: they are calibrated, compared and averaged so. Where
        others are wanted, ``balance`` says how common each class was in training. ``shares`` say
        how common the answers take each class to be; one with less confidence than
        ``uncertain_below`` is uncertain.
        """
        answer, standing, quality = self.answer, self.standing, self.quality
        assert answer is not None
        assert quality is not None
        if balance is not None:
            answer = answer.balanced(balance)
            standing = standing.balanced(balance) if standing else None
        return FaceAnswer(
            self.box,
            answer,
            self.path,
            self.reason,
            replace(self.times, encode=self.encode_ms),
            self.sent_bytes,
            self.rate,
            quality,
            trust_in(answer, quality, shares, uncertain_below),
            standing=standing,
        )


def _mean(remote: Answer, own: Answer) -> Answer:
    pairs = zip(remote.probabilities, own.probabilities, strict=True)
    tail = own.model.rpartition("/")[2]
    mean = tuple((a + b) / 2 for a, b in pairs)
    return replace(remote, probabilities=mean, model=f"{remote.model}+{tail}")
