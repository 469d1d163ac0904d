"""One answer per face: from the server while it can give one in time, else from the device.

    chosen path       cloud: latents up        image: picture up        local
                         |                        |                       |
    local start   min(60 % of the deadline, deadline - what the device needs, measured)
                         |                        |
       not answered by then, failed, or refused: the device answers, and `reason` says why

Whichever answer is ready first is given. A later one is counted and thrown away. With `cascade`
the device answers first, and the server is asked about the faces it is not sure of. Where the
chosen way is `together`, the device answers while the server does, and the mean of both is given.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.device import Device, FoundFaces, since_ms
from splitfer.edge_client.link.call import Call, CallFailed
from splitfer.edge_client.link.link import Link
from splitfer.edge_client.link.replies import ServerReply, read_classify, read_infer
from splitfer.edge_client.offload.cascade import unsure_faces
from splitfer.edge_client.offload.face_answers import (
    again,
    balanced,
    merge,
    together,
    trusted,
    with_payloads,
    with_qualities,
    with_sent,
)
from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.policy.prediction import (
    ANSWERED_WAIT_SHARE,
    Route,
    local_start_ms,
    too_late_to_send,
)
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import Answer, AnswerPath, FaceAnswer, LatencyMs, Limits, Reason
from splitfer.shared.deadline import Deadline
from splitfer.shared.prior import UNCERTAIN_BELOW
from splitfer.shared.vision.crop import to_grey
from splitfer.shared.vision.picture import encode_jpeg


class FrameLost(Exception):
    """The device itself failed on a frame; ``faces`` of it were found and have no answer."""

    def __init__(self, faces: int) -> None:
        super().__init__(f"{faces} faces")
        self.faces = faces


class Offload:
    """Answers frames by the path that ``chooser`` names, with the device behind it. One thread at
    a time.

    ``link`` is None where no server is named; then every answer is `local`. With a
    ``cascade_threshold`` the device answers first. Answers with less confidence than
    ``uncertain_below`` are uncertain. Of a frame's faces the ``most_faces`` largest are answered.
    """

    def __init__(
        self,
        device: Device,
        link: Link | None,
        chooser: Router,
        deadline_ms: float,
        jpeg_quality: int,
        cascade_threshold: float | None = None,
        uncertain_below: float = UNCERTAIN_BELOW,
        most_faces: int = Limits.faces_per_frame,
    ) -> None:
        self._device, self._link, self._chooser = device, link, chooser
        self._deadline_ms, self._jpeg_quality = deadline_ms, jpeg_quality
        self._cascade_threshold, self._uncertain_below = cascade_threshold, uncertain_below
        self._labels, self._most_faces = device.label_set, most_faces
        # The first frames are not the ones to learn this from: the device measured it as it began.
        chooser.estimates.found(None, device.head_ms_per_face, 1)
        chooser.estimates.answered(device.tail_ms_per_face, 1)

    def answer(self, rgb: NDArray[np.uint8], decoded_s: float) -> list[FaceAnswer]:
        """One answer for each face of a frame uint8 ``(H, W, 3)`` decoded at ``decoded_s``.

        Raises:
            FrameLost: the device failed.
        """
        # All that was decided, compared and put together was so with natural probabilities, which
        # are calibrated.
        faces = balanced(self._natural(rgb, decoded_s), self._device.balance)
        return trusted(faces, self._device.shares, self._uncertain_below)

    def _natural(self, rgb: NDArray[np.uint8], decoded_s: float) -> list[FaceAnswer]:
        found = FoundFaces((), None, None, None, None)
        link, chooser, pixels = self._link, self._chooser, rgb.shape[0] * rgb.shape[1]
        try:
            chooser.next_frame()
            decision = None
            if link is not None and chooser.before_search:
                decision = chooser.choose(since_ms(decoded_s), None, pixels, link.refusal)
                if decision.path is AnswerPath.IMAGE:
                    return self._by_image(link, rgb, decoded_s)
            found = self._find(rgb)
            if not found.boxes:
                return []
            if link is None:
                return self._by_device(found, decoded_s, None)
            if self._cascade_threshold is not None:
                return self._by_cascade(link, found, decoded_s, pixels, self._cascade_threshold)
            if decision is None:
                faces = len(found.boxes)
                decision = chooser.choose(since_ms(decoded_s), faces, pixels, link.refusal)
            if decision.path is AnswerPath.CLOUD:
                return self._by_cloud(link, found, decoded_s, decision.chosen, decision.shadow)
            local = self._by_device(found, decoded_s, decision.refusal)
            if decision.probe is not None:
                return self._with_probe(link, rgb, found, local, decision.probe)
            return local
        except Exception as error:  # whatever it was, the run goes on and the books say so
            raise FrameLost(len(found.boxes)) from error

    def learn(self) -> None:
        """Learn from the frame's calls, once its answers are given on. Else the next frame does,
        and is later for it."""
        self._chooser.learn()

    def _by_cloud(
        self, link: Link, found: FoundFaces, decoded_s: float, chosen: Route, shadow: bool
    ) -> list[FaceAnswer]:
        needs_ms = self._chooser.needs_ms(len(found.boxes), searched=True)
        local_start = self._local_start(decoded_s, needs_ms)
        if refusal := link.refusal or self._missed(decoded_s, needs_ms):
            return self._by_device(found, decoded_s, refusal)
        try:
            call, sizes, encode_ms = self._send(link, found, chosen.rate, self._deadline(decoded_s))
        except CallFailed as error:
            return self._by_device(found, decoded_s, error.reason)

        beside = shadow or chosen.together
        local = self._by_device(found, decoded_s, Reason.DEADLINE) if beside else []
        local_ready_s = time.monotonic()
        in_time = call.wait(local_start.remaining_ms() / 1000)
        reply = read_infer(call, found.boxes, self._labels) if in_time else None
        if reply is None or not reply.complete:
            reason = reply.reason if reply else Reason.DEADLINE
            if beside:  # it was ready all the while, but the server's was waited for
                local = again(local, reason, decoded_s)
            else:
                local = self._by_device(found, decoded_s, reason)
            if reply is None and _was_first(call):
                reply = read_infer(call, found.boxes, self._labels)
        elif beside:
            remote = [one for one in reply.results if isinstance(one, Answer)]
            self._chooser.compared([face.answer for face in local], remote)
        if reply is None:
            call.abandon()
        answers = merge(reply, local, decoded_s)
        if chosen.together:
            answers = together(answers, local)
        answers = with_qualities(answers, found.qualities)
        answers = with_payloads(answers, sizes, chosen.rate, found, encode_ms)
        waited = not local or (chosen.together and in_time and _ended_after(call, local_ready_s))
        if waited:
            self._collected(call)
        return answers

    def _by_cascade(
        self, link: Link, found: FoundFaces, decoded_s: float, pixels: int, threshold: float
    ) -> list[FaceAnswer]:
        """The device's answers, and the server's for those that are not sure."""
        local = self._by_device(found, decoded_s, None)
        unsure = unsure_faces([face.answer for face in local], threshold)
        if not unsure:
            return local
        decision = self._chooser.choose(
            since_ms(decoded_s), len(unsure), pixels, link.refusal, answered=True
        )
        assert found.z is not None
        asked = replace(
            found,
            boxes=tuple(found.boxes[i] for i in unsure),
            z=found.z[list(unsure)],
            qualities=tuple(found.qualities[i] for i in unsure),
        )
        answers = self._improved(link, asked, [local[i] for i in unsure], decision, decoded_s)
        by_place = dict(zip(unsure, answers, strict=True))
        return [by_place.get(i, face) for i, face in enumerate(local)]

    def _improved(
        self, link: Link, asked: FoundFaces, answers: list[FaceAnswer], decision: Decision,
        decoded_s: float,
    ) -> list[FaceAnswer]:  # fmt: skip
        """The server's answers in place of the device's or, if that is better, together with them,
        as far as they come in time."""
        if decision.path is not AnswerPath.CLOUD:
            if decision.probe is not None:
                return self._with_probe(link, None, asked, answers, decision.probe)
            return [replace(face, reason=decision.refusal) for face in answers]
        rate = decision.chosen.rate
        try:
            call, sizes, encode_ms = self._send(link, asked, rate, self._deadline(decoded_s))
        except CallFailed as error:
            return again(answers, error.reason, decoded_s)
        wait_until = Deadline(decoded_s + ANSWERED_WAIT_SHARE * self._deadline_ms / 1000)
        reply = None
        if call.wait(wait_until.remaining_ms() / 1000):
            reply = read_infer(call, asked.boxes, self._labels)
        else:
            call.abandon()
        reason = reply.reason if reply else Reason.DEADLINE
        if reason is not None:
            answers = again(answers, reason, decoded_s)
        merged = merge(reply, answers, decoded_s)
        if decision.chosen.together:
            merged = together(merged, answers)
        merged = with_qualities(merged, asked.qualities)
        return with_payloads(merged, sizes, rate, asked, encode_ms)

    def _by_image(self, link: Link, rgb: NDArray[np.uint8], decoded_s: float) -> list[FaceAnswer]:
        needs_ms = self._chooser.needs_ms(0, searched=False)
        local_start = self._local_start(decoded_s, needs_ms)
        if refusal := link.refusal or self._missed(decoded_s, needs_ms):
            return self._alone(rgb, decoded_s, refusal)
        try:
            call, size, encode_ms = self._send_picture(link, rgb, self._deadline(decoded_s))
        except CallFailed as error:
            return self._alone(rgb, decoded_s, error.reason)

        in_time = call.wait(local_start.remaining_ms() / 1000)
        if not in_time:
            local = self._alone(rgb, decoded_s, Reason.DEADLINE)
            if not _was_first(call) or not (reply := self._read_picture(call, rgb)).complete:
                call.abandon()
                return with_sent(local, size, encode_ms)
        else:
            reply = self._read_picture(call, rgb)
        if reply.reason is not None:
            return with_sent(self._alone(rgb, decoded_s, reply.reason), size, encode_ms)
        local = []
        if not reply.complete:  # the server's faces are the faces: answer its boxes here
            found = self._device.look(to_grey(rgb), reply.boxes)
            local = self._by_device(found, decoded_s, None)
        merged = merge(reply, local, decoded_s)
        if any(face.quality is None for face in merged):  # a server that does not say it yet
            merged = with_qualities(merged, self._device.qualities(to_grey(rgb), reply.boxes))
        answers = with_sent(merged, size, encode_ms)
        if in_time and not local:
            self._collected(call)
        return answers

    def _read_picture(self, call: Call[Any], rgb: NDArray[np.uint8]) -> ServerReply:
        size = (rgb.shape[1], rgb.shape[0])
        return read_classify(call, self._labels, size, self._most_faces)

    def _collected(self, call: Call[Any]) -> None:
        """The call's reply, and nothing else, became the frame's answers just now."""
        assert call.done_s is not None
        self._chooser.estimates.collected(since_ms(call.done_s))

    def _with_probe(
        self, link: Link, rgb: NDArray[np.uint8] | None, found: FoundFaces,
        local: list[FaceAnswer], probe: Route,
    ) -> list[FaceAnswer]:  # fmt: skip
        """Send what shall be tried beside a frame that was answered; nobody waits for it."""
        deadline = Deadline.after_ms(self._deadline_ms)
        try:
            if probe.path is AnswerPath.CLOUD:
                _, sizes, _ = self._send(link, found, probe.rate, deadline)
                return [
                    replace(face, sent_bytes=size, rate=probe.rate)
                    for face, size in zip(local, sizes, strict=True)
                ]
            if rgb is not None:
                _, size, _ = self._send_picture(link, rgb, deadline)
                return [replace(face, sent_bytes=size) for face in local]
        except CallFailed:
            pass  # the link went down just now; the frame has its answer
        return local

    def _send(
        self, link: Link, found: FoundFaces, rate: str, deadline: Deadline
    ) -> tuple[Call[Any], list[int], float]:
        """The call with the faces' payloads, their sizes, and what the encoding took in ms."""
        assert found.z is not None
        start = time.monotonic()
        payloads = self._device.payloads(found.z, rate)
        encode_ms, sizes = since_ms(start), [len(payload) for payload in payloads]
        call = link.infer(payloads, deadline)
        until_sent_ms = (call.sent_s - start) * 1000
        self._chooser.estimates.encoded(rate, until_sent_ms, sum(sizes), len(sizes))
        self._chooser.sent(call, AnswerPath.CLOUD, sum(sizes))
        return call, sizes, encode_ms

    def _send_picture(
        self, link: Link, rgb: NDArray[np.uint8], deadline: Deadline
    ) -> tuple[Call[Any], int, float]:
        """The call with the picture, its size, and what the encoding took in ms."""
        start = time.monotonic()
        picture = encode_jpeg(rgb, self._jpeg_quality)
        encode_ms = since_ms(start)
        call = link.classify(picture, deadline)
        until_sent_ms = (call.sent_s - start) * 1000
        self._chooser.estimates.pictured(until_sent_ms, len(picture), rgb.shape[0] * rgb.shape[1])
        self._chooser.sent(call, AnswerPath.IMAGE, len(picture))
        return call, len(picture), encode_ms

    def _find(self, rgb: NDArray[np.uint8]) -> FoundFaces:
        found = self._device.find(rgb)
        self._chooser.estimates.found(found.detect_ms, found.head_ms, len(found.boxes))
        return found

    def _alone(self, rgb: NDArray[np.uint8], decoded_s: float, reason: Reason) -> list[FaceAnswer]:
        """Detect and answer here."""
        found = self._find(rgb)
        return self._by_device(found, decoded_s, reason) if found.boxes else []

    def _by_device(
        self, found: FoundFaces, decoded_s: float, reason: Reason | None
    ) -> list[FaceAnswer]:
        assert found.features is not None
        answers, tail_ms = self._device.local_answers(found.features)
        self._chooser.estimates.answered(tail_ms, len(answers))
        times = LatencyMs(found.detect_ms, found.head_ms, tail=tail_ms, total=since_ms(decoded_s))
        faces = [
            FaceAnswer(box, answer, AnswerPath.LOCAL, reason, times)
            for box, answer in zip(found.boxes, answers, strict=True)
        ]
        return with_qualities(faces, found.qualities)

    def _deadline(self, decoded_s: float) -> Deadline:
        return Deadline(decoded_s + self._deadline_ms / 1000)

    def _local_start(self, decoded_s: float, needs_ms: float) -> Deadline:
        return Deadline(decoded_s + local_start_ms(self._deadline_ms, needs_ms) / 1000)

    def _missed(self, decoded_s: float, needs_ms: float) -> Reason | None:
        """Why nothing is sent where the device should have started already."""
        late = too_late_to_send(since_ms(decoded_s), self._deadline_ms, needs_ms)
        return Reason.DEADLINE if late else None


def _ended_after(call: Call[Any], instant_s: float) -> bool:
    return call.done_s is not None and call.done_s > instant_s


def _was_first(call: Call[Any]) -> bool:
    """Whether a call brought an answer while the device was computing its own."""
    return call.wait(0) and call.failure() is None
