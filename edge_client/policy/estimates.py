"""What each stage costs now: the device's, the server's, the link's, and the bytes to be sent.

Fed with what frames measured anyway; asked for ``costs`` once per frame. No clock is read here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from splitfer.edge_client.policy.link_fit import P95_DEVIATIONS, WINDOW, LinkFit, Sample, fit
from splitfer.shared.contracts import AnswerPath

# A photograph as JPEG at quality 85, until one was made here.
JPEG_BYTES_PER_PIXEL = 0.15
# No device's speed changes by more than this factor.
_MOST_CHANGE = 10.0


class Cost(NamedTuple):
    """Typical milliseconds, and what 19 of 20 stay below."""

    typical_ms: float = 0.0
    p95_ms: float = 0.0


class Costs(NamedTuple):
    """The costs at one instant. ``head``, ``tail``, ``encode`` and ``payload_bytes`` are per face;
    ``encode`` and ``payload_bytes`` by rate; ``link`` is None while no reply has come, and a
    server's path is not in ``server`` while it never answered. ``collect`` is the device's work
    from a reply's arrival to the frame's answers."""

    detect: Cost = Cost()
    head: Cost = Cost()
    tail: Cost = Cost()
    jpeg: Cost = Cost()
    encode: Mapping[str, Cost] = MappingProxyType({})
    payload_bytes: Mapping[str, float] = MappingProxyType({})
    bytes_per_pixel: float = JPEG_BYTES_PER_PIXEL
    link: LinkFit | None = None
    collect: Cost = Cost()
    server: Mapping[AnswerPath, Cost] = MappingProxyType({})


class Smoothed:
    """Mean and mean deviation of recent numbers, aged as TCP ages its round trips.

    One wild number moves neither far: it counts as four deviations at most. Of the first two the
    smaller one counts, since whatever runs for the first time finds cold caches; the first few
    count alike, so that a stage which seldom runs is not judged by its beginning. ``mean`` is
    ``prior`` until the first number. ``cost`` is asked for more often than numbers come.
    """

    def __init__(self, prior: float = 0.0) -> None:
        self.mean = prior
        self.cost = Cost(prior, prior)
        self._deviation = 0.0
        self._numbers = 0

    def add(self, value: float) -> None:
        """Add a number that is not negative."""
        self._numbers += 1
        if self._numbers == 1 or (self._numbers == 2 and value < self.mean):
            self.mean, self._deviation = value, 0.1 * value
        else:
            reach = 4 * max(self._deviation, 0.02 * self.mean, 1e-3)
            off = min(max(value - self.mean, -reach), reach)
            self.mean += off / min(self._numbers, 8)
            self._deviation += (abs(off) - self._deviation) / 4
        self.cost = Cost(self.mean, self.mean + P95_DEVIATIONS * self._deviation)


class Estimates:
    """What was measured of one device and one server. Belongs to one thread.

    ``bytes_by_rate`` is what one face takes at each rate until it was measured here.
    """

    def __init__(self, bytes_by_rate: Mapping[str, float]) -> None:
        self._detect, self._head, self._tail = Smoothed(), Smoothed(), Smoothed()
        self._jpeg, self._bytes_per_pixel = Smoothed(), Smoothed(JPEG_BYTES_PER_PIXEL)
        self._encode = {rate: Smoothed() for rate in bytes_by_rate}
        self._payload = {rate: Smoothed(mean) for rate, mean in bytes_by_rate.items()}
        self._collect = Smoothed()
        self._server: dict[AnswerPath, Smoothed] = {}
        self._samples: deque[Sample] = deque(maxlen=WINDOW)
        self._link: LinkFit | None = None
        self._frame = 0
        self._head_then_ms = 0.0  # when the tail last ran
        self._costs: Costs | None = None  # as they were when a call was last sent or ended

    def next_frame(self) -> None:
        """Note that a frame begins: replies grow older by one."""
        self._frame += 1

    def found(self, detect_ms: float | None, head_ms: float | None, faces: int) -> None:
        """A frame was searched, and the head ran for its ``faces`` where there are some."""
        if detect_ms is not None:
            self._detect.add(detect_ms)
        if head_ms is not None and faces:
            self._head.add(head_ms / faces)

    def answered(self, tail_ms: float, faces: int) -> None:
        """Note that the device answered ``faces``, at least one."""
        self._tail.add(tail_ms / faces)
        self._head_then_ms = self._head.mean

    def encoded(self, rate: str, encode_ms: float, payload_bytes: int, faces: int) -> None:
        """Payloads of ``faces``, at least one, were made and given to the link, ``payload_bytes``
        in all."""
        self._encode[rate].add(encode_ms / faces)
        self._payload[rate].add(payload_bytes / faces)
        self._costs = None

    def pictured(self, jpeg_ms: float, picture_bytes: int, pixels: int) -> None:
        """Note that a whole picture was encoded."""
        self._jpeg.add(jpeg_ms)
        self._bytes_per_pixel.add(picture_bytes / pixels)
        self._costs = None

    def collected(self, collect_ms: float) -> None:
        """A reply that was waited for became answers, so long after it had come."""
        self._collect.add(collect_ms)
        self._costs = None

    def replied(
        self, path: AnswerPath, sent_bytes: int, link_ms: float, server_ms: float, now_s: float
    ) -> None:
        """A call was answered, whether or not somebody still waited for it."""
        self._server.setdefault(path, Smoothed()).add(server_ms)
        self._sampled(Sample(self._frame, now_s, sent_bytes, link_ms))

    def failed(self, sent_bytes: int, waited_ms: float | None, now_s: float) -> None:
        """A call got no answer. ``waited_ms`` where it timed out, None where it broke."""
        if waited_ms is not None and self._link is not None:
            # It took longer than that; a link known to be slower did not become faster.
            waited_ms = max(waited_ms, self._link.typical_ms(sent_bytes))
        self._sampled(Sample(self._frame, now_s, sent_bytes, waited_ms, missed=True))

    def link_made_anew(self) -> None:
        """The link was down, and is up: what was missed on the old one says nothing of this one."""
        answered = [one for one in self._samples if not one.missed]
        self._samples = deque(answered, maxlen=WINDOW)
        self._link = fit(self._samples)
        self._costs = None

    def costs(self) -> Costs:
        """The costs now."""
        if self._costs is None:
            self._costs = self._costs_of_calls()
        return self._costs._replace(
            detect=self._detect.cost, head=self._head.cost, tail=self._tail_now()
        )

    def _costs_of_calls(self) -> Costs:
        return Costs(
            jpeg=self._jpeg.cost,
            encode={rate: one.cost for rate, one in self._encode.items()},
            payload_bytes={rate: one.mean for rate, one in self._payload.items()},
            bytes_per_pixel=self._bytes_per_pixel.mean,
            link=self._link,
            collect=self._collect.cost,
            server={path: one.cost for path, one in self._server.items()},
        )

    def _tail_now(self) -> Cost:
        """While the server answers, the tail does not run: it is taken to have changed as the head
        has, which runs for every face."""
        cost = self._tail.cost
        if not self._head_then_ms:
            return cost
        change = min(max(1 / _MOST_CHANGE, self._head.mean / self._head_then_ms), _MOST_CHANGE)
        return Cost(cost.typical_ms * change, cost.p95_ms * change)

    def _sampled(self, sample: Sample) -> None:
        self._samples.append(sample)
        self._link = fit(self._samples)
        self._costs = None
