"""One attempt to have the server answer a frame: what was sent, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import repeat
from typing import Any

from splitfer.edge_client.device import Device, FoundFaces, since_ms
from splitfer.edge_client.link.call import Call
from splitfer.edge_client.link.link import Link
from splitfer.edge_client.link.replies import ServerReply, read_classify, read_infer
from splitfer.edge_client.offload.open_frame import OpenFrame
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import Answer, AnswerPath, Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.vision.picture import encode_jpeg

Read = Callable[[Call[Any]], ServerReply]


class Attempt:
    """One call under way. ``sizes`` are the bytes that were sent for each face; a picture is sent
    for every face in it."""

    def __init__(
        self, call: Call[Any], read: Read, sizes: Iterable[int], rate: str | None, encode_ms: float
    ) -> None:
        self._call, self._read = call, read
        self._sizes, self._rate, self._encode_ms = sizes, rate, encode_ms

    def reply_by(self, instant: Deadline) -> ServerReply | None:
        """The reply, or why there is none; None where the call has not ended by then."""
        return self._read(self._call) if self._call.wait(instant.remaining_ms() / 1000) else None

    def reply_if_there(self) -> ServerReply | None:
        """The reply of a call that was answered meanwhile."""
        there = self._call.wait(0) and self._call.failure() is None
        return self._read(self._call) if there else None

    def leave(self) -> None:
        """Nobody waits any more; the answer is counted when it comes, and thrown away."""
        self._call.abandon()

    @property
    def done_s(self) -> float:
        """The monotonic instant at which the call ended."""
        assert self._call.done_s is not None
        return self._call.done_s

    def mark(self, faces: Iterable[PendingFace], beside: bool = False) -> None:
        """Say of the faces what was sent; ``beside`` answers that did not wait for it."""
        encode_ms = None if beside else self._encode_ms
        for face, sent_bytes in zip(faces, self._sizes, strict=False):
            face.sent(sent_bytes, self._rate, encode_ms)


class Sender:
    """Encodes, sends, and has the router learn what both take."""

    def __init__(
        self, device: Device, link: Link, router: Router, jpeg_quality: int, most_faces: int
    ) -> None:
        self._device, self._link, self._router = device, link, router
        self._jpeg_quality, self._most_faces = jpeg_quality, most_faces

    @property
    def refusal(self) -> Reason | None:
        """Why nothing can be sent now."""
        return self._link.refusal

    def faces(self, found: FoundFaces, rate: str, deadline: Deadline) -> Attempt:
        """Send the payloads of the faces.

        Raises:
            CallFailed: nothing could be sent.
        """
        start = time.monotonic()
        payloads = self._device.payloads(found.z, rate)
        encode_ms, sizes = since_ms(start), [len(payload) for payload in payloads]
        call = self._link.infer(payloads, deadline)
        until_sent_ms = (call.sent_s - start) * 1000
        self._router.estimates.encoded(rate, until_sent_ms, sum(sizes), len(sizes))
        self._router.sent(call, AnswerPath.CLOUD, sum(sizes))
        labels = self._device.label_set
        return Attempt(
            call, lambda ended: read_infer(ended, found.boxes, labels), sizes, rate, encode_ms
        )

    def picture(self, frame: OpenFrame, deadline: Deadline) -> Attempt:
        """Send the whole picture.

        Raises:
            CallFailed: nothing could be sent.
        """
        start = time.monotonic()
        picture = encode_jpeg(frame.rgb, self._jpeg_quality)
        encode_ms = since_ms(start)
        call = self._link.classify(picture, deadline)
        until_sent_ms = (call.sent_s - start) * 1000
        self._router.estimates.pictured(until_sent_ms, len(picture), frame.pixels)
        self._router.sent(call, AnswerPath.IMAGE, len(picture))
        labels, size = self._device.label_set, (frame.rgb.shape[1], frame.rgb.shape[0])
        return Attempt(
            call,
            lambda ended: read_classify(ended, labels, size, self._most_faces),
            repeat(len(picture)),
            None,
            encode_ms,
        )


def give(
    faces: Iterable[PendingFace],
    reply: ServerReply,
    frame: OpenFrame,
    found: FoundFaces | None = None,
    together: bool = False,
) -> None:
    """Each face gets the server's answer where there is one; where there is none, it keeps the
    device's and says why. ``found`` is what the device did for those that were sent."""
    if reply.reason is not None:
        return
    times = replace(reply.times, total=(reply.ended_s - frame.decoded_s) * 1000)
    if found is not None:
        times = replace(times, detect=found.detect_ms, head=found.head_ms)
    for face, one in zip(faces, reply.results, strict=True):
        if isinstance(one, Answer):
            face.by_server(one, reply.path, times, together)
        else:
            face.kept(one)
