"""What the device does by itself: look for faces, and answer them."""

from __future__ import annotations

from splitfer.edge_client.device import Device, FoundFaces, NoFaces
from splitfer.edge_client.offload.open_frame import OpenFrame
from splitfer.edge_client.offload.pending_face import PendingFace
from splitfer.edge_client.policy.estimates import Estimates
from splitfer.shared.contracts import Box, LatencyMs, Reason
from splitfer.shared.vision.picture import to_grey


class OwnAnswers:
    """The device's own search and answers; ``estimates`` learn the time that they take."""

    def __init__(self, device: Device, estimates: Estimates) -> None:
        self._device, self._estimates = device, estimates
        # The first frames are not the ones to learn this from: the device measured it as it began.
        estimates.found(None, device.head_ms_per_face, 1)
        estimates.answered(device.tail_ms_per_face, 1)

    def search(self, frame: OpenFrame) -> FoundFaces | None:
        """The frame's faces, None where there are none; the frame has them from now on."""
        found = self._device.find(frame.rgb)
        if isinstance(found, NoFaces):
            self._estimates.found(found.detect_ms, None, 0)
            return None
        self._estimates.found(found.detect_ms, found.head_ms, len(found.boxes))
        frame.found = found
        return found

    def answer(
        self, frame: OpenFrame, found: FoundFaces, faces: list[PendingFace], reason: Reason | None
    ) -> None:
        """The local tail's answers for the faces, given for this reason."""
        answers, tail_ms = self._device.local_answers(found.tail_input)
        self._estimates.answered(tail_ms, len(answers))
        times = LatencyMs(found.detect_ms, found.head_ms, tail=tail_ms, total=frame.elapsed_ms)
        for face, own in zip(faces, answers, strict=True):
            face.by_device(own, times, reason)

    def faces(
        self, frame: OpenFrame, found: FoundFaces, reason: Reason | None
    ) -> list[PendingFace]:
        """The faces with the local tail's answers."""
        faces = pending(found)
        self.answer(frame, found, faces, reason)
        return faces

    def alone(self, frame: OpenFrame, reason: Reason) -> list[PendingFace]:
        """Search for faces and answer them on the device."""
        found = self.search(frame)
        return self.faces(frame, found, reason) if found else []

    def look(self, frame: OpenFrame, boxes: tuple[Box, ...]) -> FoundFaces:
        """Crop and measure faces that somebody else found in the frame."""
        return self._device.look(to_grey(frame.rgb), boxes)

    def qualities(self, frame: OpenFrame, boxes: tuple[Box, ...]) -> tuple[float, ...]:
        """Scores of the pictures of faces that somebody else found."""
        return self._device.qualities(to_grey(frame.rgb), boxes)


def pending(found: FoundFaces) -> list[PendingFace]:
    """The faces that were found, without answers."""
    pairs = zip(found.boxes, found.qualities, strict=True)
    return [PendingFace(box, quality) for box, quality in pairs]
