"""Asking the server only about the faces that the device's own answer is not sure of."""

from __future__ import annotations

from collections.abc import Sequence

from splitfer.edge_client.link.call import CallFailed
from splitfer.edge_client.offload.attempt import Sender, give
from splitfer.edge_client.offload.open_frame import OpenFrame
from splitfer.edge_client.offload.own_answers import OwnAnswers
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.offload.strategies import probe
from splitfer.edge_client.policy.prediction import ANSWERED_WAIT_SHARE
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import Answer, AnswerPath, Reason


class Cascade:
    """The device answers first, and the server is asked about the faces whose confidence lies below
    ``threshold``: its answer is given in place of the device's or, if that is better, together with
    it, as far as it comes in time. A face of a video is not asked about in each frame."""

    def __init__(
        self,
        own: OwnAnswers,
        sender: Sender,
        router: Router,
        threshold: float,
    ) -> None:
        self._own, self._sender, self._router = own, sender, router
        self._threshold = threshold

    def answer(self, frame: OpenFrame) -> list[PendingFace]:
        """The frame's faces, each with an answer."""
        found = frame.found
        assert found is not None
        faces = self._own.faces(frame, found, None)
        video = frame.video
        if video is None:
            unsure = unsure_faces([face.own for face in faces if face.own], self._threshold)
        else:
            unsure = video.tracks.worth_asking(video.time_s, faces)
        if not unsure:
            return faces
        decision = self._router.choose(
            frame.elapsed_ms, len(unsure), frame.pixels, self._sender.refusal, answered=True
        )
        asked, some = found.only(unsure), [faces[i] for i in unsure]
        if decision.probe is not None and decision.path is not AnswerPath.CLOUD:
            probe(self._sender, frame, asked, some, decision.probe)
            return faces
        if decision.path is not AnswerPath.CLOUD:
            for face in some:
                face.kept(decision.refusal)
            return faces
        route = decision.chosen
        try:
            attempt = self._sender.faces(asked, route.rate, frame.deadline)
        except CallFailed as error:
            for face in some:
                face.kept(error.reason, frame.elapsed_ms)
            return faces
        reply = attempt.reply_by(frame.after(ANSWERED_WAIT_SHARE))
        if reply is None:
            attempt.leave()
        if reply is None or reply.reason is not None:
            for face in some:
                face.kept(reply.reason if reply else Reason.DEADLINE, frame.elapsed_ms)
        else:
            give(some, reply, frame, asked, route.together)
        attempt.mark(some)
        if video is not None:
            video.tracks.asked(faces, unsure, route.together)
        return faces


def unsure_faces(answers: Sequence[Answer], threshold: float) -> tuple[int, ...]:
    """Indices of the answers whose calibrated confidence (0..1) lies below ``threshold``."""
    return tuple(i for i, answer in enumerate(answers) if answer.confidence < threshold)
