"""One answer per face: from the server while it can give one in time, else from the device.

The router chooses each frame's path, and a strategy goes it. With `cascade` the device answers
first, and the server is asked about the faces it is not sure of. Where the chosen way is
`together`, the device answers while the server does, and the mean of both is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.device import Device
from splitfer.edge_client.link.link import Link
from splitfer.edge_client.offload.attempt import Sender
from splitfer.edge_client.offload.cascade import Cascade
from splitfer.edge_client.offload.open_frame import OpenFrame, Video
from splitfer.edge_client.offload.own_answers import OwnAnswers
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.offload.strategies import Cloud, Image, Local, Strategy
from splitfer.edge_client.policy.router import Router
from splitfer.shared.contracts import AnswerPath, FaceAnswer, Limits
from splitfer.shared.prior import UNCERTAIN_BELOW


class FrameLost(Exception):
    """The device itself failed on a frame; ``faces`` of it were found and have no answer."""

    def __init__(self, faces: int) -> None:
        super().__init__(f"{faces} faces")
        self.faces = faces


class Offload:
    """Answers frames by the path that ``router`` names, with the device behind it. One thread at a
    time.

    ``link`` is None where no server is named; then every answer is `local`. With a
    ``cascade_threshold`` the device answers first. Answers with less confidence than
    ``uncertain_below`` are uncertain. Of a frame's faces the ``most_faces`` largest are answered.
    """

    def __init__(
        self,
        device: Device,
        link: Link | None,
        router: Router,
        deadline_ms: float,
        jpeg_quality: int,
        cascade_threshold: float | None = None,
        uncertain_below: float = UNCERTAIN_BELOW,
        most_faces: int = Limits.faces_per_frame,
    ) -> None:
        self._device, self._router = device, router
        self._deadline_ms, self._uncertain_below = deadline_ms, uncertain_below
        self._own = OwnAnswers(device, router.estimates)
        self._sender = Sender(device, link, router, jpeg_quality, most_faces) if link else None
        self._cascade: Cascade | None = None
        self._strategies: dict[AnswerPath, Strategy] = {}
        if self._sender is not None:
            if cascade_threshold is not None:
                self._cascade = Cascade(self._own, self._sender, router, cascade_threshold)
            self._strategies = {
                AnswerPath.LOCAL: Local(self._own, self._sender),
                AnswerPath.CLOUD: Cloud(self._own, self._sender, router),
                AnswerPath.IMAGE: Image(self._own, self._sender, router),
            }

    def answer(
        self, rgb: NDArray[np.uint8], decoded_s: float, video: Video | None = None
    ) -> list[FaceAnswer]:
        """One answer for each face of a frame uint8 ``(H, W, 3)`` decoded at ``decoded_s``, of a
        ``video`` where its faces are followed: then the cascade does not ask about a face in each
        frame.

        Raises:
            FrameLost: the device failed.
        """
        frame = OpenFrame(rgb, decoded_s, self._deadline_ms, video)
        try:
            self._router.next_frame()
            faces = self._answered(frame)
            device = self._device
            return [
                face.given(device.balance, device.shares, self._uncertain_below) for face in faces
            ]
        except Exception as error:  # whatever it was, the run goes on and the books say so
            raise FrameLost(frame.faces) from error

    def learn(self) -> None:
        """Learn from the frame's calls, once its answers are given on. Else the next frame does,
        and is later for it."""
        self._router.learn()

    def _answered(self, frame: OpenFrame) -> list[PendingFace]:
        sender, router, decision = self._sender, self._router, None
        if sender is not None and router.before_search:
            decision = router.choose(frame.elapsed_ms, None, frame.pixels, sender.refusal)
            if decision.path is AnswerPath.IMAGE:
                return self._strategies[AnswerPath.IMAGE].answer(frame, decision)
        found = self._own.search(frame)
        if found is None:
            return []
        if sender is None:
            return self._own.faces(frame, found, None)
        if self._cascade is not None:
            return self._cascade.answer(frame)
        if decision is None:
            faces = len(found.boxes)
            decision = router.choose(frame.elapsed_ms, faces, frame.pixels, sender.refusal)
        return self._strategies[decision.path].answer(frame, decision)
