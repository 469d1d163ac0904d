"""One answer per face: from the server while it can give one in time, else from the device.

    wanted path       cloud: latents up        image: picture up        local
                         |                        |                       |
    local start   min(60 % of the deadline, deadline - what the device needs, measured)
                         |                        |
       not answered by then, failed, or refused: the device answers, and `reason` says why

Whichever answer is ready first is given. A later one is counted and thrown away.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_client.call import Call, CallFailed
from edge_client.head import Device, FoundFaces, since_ms
from edge_client.link import Link
from edge_client.replies import ServerFaces, read_classify, read_infer
from shared.contracts import Answer, FaceAnswer, LatencyMs, Path, Reason
from shared.deadline import Deadline
from shared.picture import encode_jpeg
from shared.preprocess import to_grey

# Even a fast device starts on its own no later than this: an answer at 60 % of the deadline
# leaves room for a scheduler's hiccup.
LOCAL_START_SHARE = 0.6


class FrameLost(Exception):
    """The device itself failed on a frame; ``faces`` of it were found and have no answer."""

    def __init__(self, faces: int) -> None:
        super().__init__(f"{faces} faces")
        self.faces = faces


class Offload:
    """Answers frames by the wanted path, with the device behind it. One thread at a time.

    ``link`` is None where no server is named; then ``wanted`` is `local`.
    """

    def __init__(
        self, device: Device, link: Link | None, wanted: Path, deadline_ms: float, jpeg_quality: int
    ) -> None:
        self._device, self._link, self._wanted = device, link, wanted
        self._deadline_ms, self._jpeg_quality = deadline_ms, jpeg_quality

    def answer(self, rgb: NDArray[np.uint8], decoded_s: float) -> list[FaceAnswer]:
        """One answer for each face of a frame uint8 ``(H, W, 3)`` decoded at ``decoded_s``.

        Raises:
            FrameLost: the device failed.
        """
        found = FoundFaces((), None, None, None, None)
        try:
            if self._link is not None and self._wanted is Path.IMAGE:
                return self._by_image(self._link, rgb, decoded_s)
            found = self._device.find(rgb)
            if not found.boxes:
                return []
            if self._link is not None and self._wanted is Path.CLOUD:
                return self._by_cloud(self._link, found, decoded_s)
            return self._by_device(found, decoded_s, None)
        except Exception as error:  # whatever it was, the run goes on and the books say so
            raise FrameLost(len(found.boxes)) from error

    def _by_cloud(self, link: Link, found: FoundFaces, decoded_s: float) -> list[FaceAnswer]:
        assert found.z is not None
        needs_ms = self._device.tail_ms_per_face.p95_ms * len(found.boxes)
        local_start = self._local_start(decoded_s, needs_ms)
        if refusal := link.refusal or _missed(local_start):
            return self._by_device(found, decoded_s, refusal)

        start = time.monotonic()
        rate = self._device.rate
        payloads = self._device.payloads(found.z, rate)
        encode_ms = since_ms(start)
        try:
            call = link.infer(payloads, self._deadline(decoded_s))
        except CallFailed as error:
            return self._by_device(found, decoded_s, error.reason)

        in_time = call.wait(local_start.remaining_ms() / 1000)
        reply = read_infer(call, found.boxes) if in_time else None
        local: list[FaceAnswer] = []
        if reply is None or not reply.complete:
            reason = reply.reason if reply else Reason.DEADLINE
            local = self._by_device(found, decoded_s, reason)
            if reply is None and _was_first(call):
                reply = read_infer(call, found.boxes)
        if reply is None:
            call.abandon()
        sent = [
            replace(
                face,
                sent_bytes=len(payload),
                rate=rate,
                latency_ms=replace(
                    face.latency_ms, detect=found.detect_ms, head=found.head_ms, encode=encode_ms
                ),
            )
            for face, payload in zip(_merge(reply, local, decoded_s), payloads, strict=True)
        ]
        return sent

    def _by_image(self, link: Link, rgb: NDArray[np.uint8], decoded_s: float) -> list[FaceAnswer]:
        needs_ms = self._device.find_ms.p95_ms + self._device.tail_ms_per_face.p95_ms
        local_start = self._local_start(decoded_s, needs_ms)
        if refusal := link.refusal or _missed(local_start):
            return self._alone(rgb, decoded_s, refusal)

        start = time.monotonic()
        picture = encode_jpeg(rgb, self._jpeg_quality)
        encode_ms = since_ms(start)
        try:
            call = link.classify(picture, self._deadline(decoded_s))
        except CallFailed as error:
            return self._alone(rgb, decoded_s, error.reason)

        if not call.wait(local_start.remaining_ms() / 1000):
            local = self._alone(rgb, decoded_s, Reason.DEADLINE)
            if not _was_first(call) or not (reply := read_classify(call)).complete:
                call.abandon()
                return _with_sent(local, len(picture), encode_ms)
        else:
            reply = read_classify(call)
        if reply.reason is not None:
            return _with_sent(self._alone(rgb, decoded_s, reply.reason), len(picture), encode_ms)
        local = []
        if not reply.complete:  # the server's faces are the faces: answer its boxes here
            found = self._device.look(to_grey(rgb), reply.boxes)
            local = self._by_device(found, decoded_s, None)
        return _with_sent(_merge(reply, local, decoded_s), len(picture), encode_ms)

    def _alone(self, rgb: NDArray[np.uint8], decoded_s: float, reason: Reason) -> list[FaceAnswer]:
        """Detect and answer here."""
        found = self._device.find(rgb)
        return self._by_device(found, decoded_s, reason) if found.boxes else []

    def _by_device(
        self, found: FoundFaces, decoded_s: float, reason: Reason | None
    ) -> list[FaceAnswer]:
        assert found.features is not None
        answers, tail_ms = self._device.local_answers(found.features)
        times = LatencyMs(found.detect_ms, found.head_ms, tail=tail_ms, total=since_ms(decoded_s))
        return [
            FaceAnswer(box, answer, Path.LOCAL, reason, times)
            for box, answer in zip(found.boxes, answers, strict=True)
        ]

    def _deadline(self, decoded_s: float) -> Deadline:
        return Deadline(decoded_s + self._deadline_ms / 1000)

    def _local_start(self, decoded_s: float, needs_ms: float) -> Deadline:
        after_ms = min(LOCAL_START_SHARE * self._deadline_ms, self._deadline_ms - needs_ms)
        return Deadline(decoded_s + after_ms / 1000)


def _missed(local_start: Deadline) -> Reason | None:
    """Where the device should have started already, nothing is sent."""
    return Reason.DEADLINE if local_start.expired() else None


def _was_first(call: Call[Any]) -> bool:
    """Whether a call brought an answer while the device was computing its own."""
    return call.wait(0) and call.failure() is None


def _merge(
    reply: ServerFaces | None, local: list[FaceAnswer], decoded_s: float
) -> list[FaceAnswer]:
    """The server's answer of each face where there is one, else the device's and why."""
    if reply is None or reply.reason is not None:
        return local
    total_ms = (reply.ended_s - decoded_s) * 1000
    return [
        FaceAnswer(box, one, reply.path, None, replace(reply.times, total=total_ms))
        if isinstance(one, Answer)
        else replace(local[index], reason=one)
        for index, (box, one) in enumerate(zip(reply.boxes, reply.results, strict=True))
    ]


def _with_sent(faces: list[FaceAnswer], sent_bytes: int, encode_ms: float) -> list[FaceAnswer]:
    return [
        replace(face, sent_bytes=sent_bytes, latency_ms=replace(face.latency_ms, encode=encode_ms))
        for face in faces
    ]
