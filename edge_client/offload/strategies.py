"""The ways of a frame to its answers, one for each path that the router can choose.

    chosen path       cloud: latents up        image: picture up        local
                         |                        |                       |
    local start   min(60 % of the deadline, deadline - what the device needs, measured)
                         |                        |
       not answered by then, failed, or refused: the device answers, and `reason` says why

Whichever answer is ready first is given. A later one is counted and thrown away.
"""

from __future__ import annotations

import time
from typing import Protocol

from splitfer.edge_client.device import FoundFaces, since_ms
from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.offload.attempt import Sender, give
from splitfer.edge_client.offload.open_frame import OpenFrame
from splitfer.edge_client.offload.own_answers import OwnAnswers, pending
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.policy.decision import Decision
from splitfer.edge_client.policy.prediction import Route
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import Answer, AnswerPath, Reason


class Strategy(Protocol):
    """Answers every face of a frame once, as the router decided."""

    def answer(self, frame: OpenFrame, decision: Decision) -> list[PendingFace]:
        """The faces, each with an answer; often none."""
        ...


class Local:
    """The device answers. What the router wants tried is sent beside, and nobody waits for it."""

    def __init__(self, own: OwnAnswers, sender: Sender) -> None:
        self._own, self._sender = own, sender

    def answer(self, frame: OpenFrame, decision: Decision) -> list[PendingFace]:
        """The faces that were found."""
        assert frame.found is not None
        faces = self._own.faces(frame, frame.found, decision.refusal)
        if decision.probe is not None:
            probe(self._sender, frame, frame.found, faces, decision.probe)
        return faces


class Cloud:
    """Latents go up. Where they are not answered by the local start, the device answers; it does
    beside the server where the mean of both is wanted or the two shall be compared."""

    def __init__(self, own: OwnAnswers, sender: Sender, router: Router) -> None:
        self._own, self._sender, self._router = own, sender, router

    def answer(self, frame: OpenFrame, decision: Decision) -> list[PendingFace]:
        """The faces that were found."""
        found, route = frame.found, decision.chosen
        assert found is not None
        needs_ms = self._router.needs_ms(len(found.boxes), searched=True)
        local_start = frame.local_start(needs_ms)
        if refusal := self._sender.refusal or frame.missed(needs_ms):
            return self._own.faces(frame, found, refusal)
        try:
            attempt = self._sender.faces(found, route.rate, frame.deadline)
        except CallFailed as error:
            return self._own.faces(frame, found, error.reason)

        faces, beside = pending(found), decision.shadow or route.together
        if beside:
            self._own.answer(frame, found, faces, Reason.DEADLINE)
        own_ready_s = time.monotonic()
        reply = attempt.reply_by(local_start)
        in_time = reply is not None
        whole = reply is not None and reply.complete
        if not whole:
            reason = reply.reason if reply else Reason.DEADLINE
            if beside:  # it was ready all the while, but the server's was waited for
                for face in faces:
                    face.kept(reason, frame.elapsed_ms)
            else:
                self._own.answer(frame, found, faces, reason)
            reply = reply or attempt.reply_if_there()
        elif beside and reply is not None:
            remote = [one for one in reply.results if isinstance(one, Answer)]
            self._router.compared([face.own for face in faces if face.own], remote)
        if reply is None:
            attempt.leave()
        else:
            give(faces, reply, frame, found, route.together)
        attempt.mark(faces)
        # The reply was there last, and became the answers just now.
        if (whole and not beside) or (in_time and route.together and attempt.done_s > own_ready_s):
            self._router.estimates.collected(since_ms(attempt.done_s))
        return faces


class Image:
    """The whole picture goes up, and the server's faces are the faces. Where it is not answered by
    the local start, the device searches and answers."""

    def __init__(self, own: OwnAnswers, sender: Sender, router: Router) -> None:
        self._own, self._sender, self._router = own, sender, router

    def answer(self, frame: OpenFrame, decision: Decision) -> list[PendingFace]:
        """The faces that the server finds, else the device."""
        needs_ms = self._router.needs_ms(0, searched=False)
        local_start = frame.local_start(needs_ms)
        if refusal := self._sender.refusal or frame.missed(needs_ms):
            return self._own.alone(frame, refusal)
        try:
            attempt = self._sender.picture(frame, frame.deadline)
        except CallFailed as error:
            return self._own.alone(frame, error.reason)

        reply = attempt.reply_by(local_start)
        in_time = reply is not None
        if reply is None:
            own = self._own.alone(frame, Reason.DEADLINE)
            reply = attempt.reply_if_there()
            if reply is None or not reply.complete:
                attempt.leave()
                attempt.mark(own)
                return own
        if reply.reason is not None:
            own = self._own.alone(frame, reply.reason)
            attempt.mark(own)
            return own
        pairs = zip(reply.boxes, reply.qualities, strict=True)
        faces = [PendingFace(box, quality) for box, quality in pairs]
        if not reply.complete:  # the server's faces are the faces: answer its boxes here
            self._own.answer(frame, self._own.look(frame, reply.boxes), faces, None)
        give(faces, reply, frame)
        if any(face.quality is None for face in faces):  # a server that does not say it yet
            scores = self._own.qualities(frame, reply.boxes)
            for face, score in zip(faces, scores, strict=True):
                face.quality = score
        attempt.mark(faces)
        if in_time and reply.complete:
            self._router.estimates.collected(since_ms(attempt.done_s))
        return faces


def probe(
    sender: Sender, frame: OpenFrame, found: FoundFaces, faces: list[PendingFace], route: Route
) -> None:
    """Send beside faces that were answered what shall be tried; nobody waits for it."""
    try:
        if route.path is AnswerPath.IMAGE:
            attempt = sender.picture(frame, frame.from_now)
        else:
            attempt = sender.faces(found, route.rate, frame.from_now)
    except CallFailed:
        return  # the link went down just now; the frame has its answers
    attempt.mark(faces, beside=True)
