"""One frame that has no answers yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitfer.edge_client.device import FoundFaces, since_ms
from splitfer.edge_client.offload.asked_tracks import AskedTracks
from splitfer.edge_client.policy.prediction import local_start_ms, too_late_to_send
from splitfer.shared.contracts import Reason
from splitfer.shared.deadline import Deadline


@dataclass(frozen=True)
class Video:
    """When a frame is shown in its video, in seconds, and what was asked about its faces."""

    time_s: float
    tracks: AskedTracks


class OpenFrame:
    """A frame uint8 ``(H, W, 3)``, decoded at the monotonic instant ``decoded_s``, whose faces are
    answered within ``deadline_ms`` of it. ``found`` are its faces, once they were looked for.
    ``video`` is the one that it is of, where its faces are followed."""

    def __init__(
        self,
        rgb: NDArray[np.uint8],
        decoded_s: float,
        deadline_ms: float,
        video: Video | None = None,
    ) -> None:
        self.rgb, self.decoded_s, self._deadline_ms = rgb, decoded_s, deadline_ms
        self.video = video
        self.pixels: int = rgb.shape[0] * rgb.shape[1]
        self.found: FoundFaces | None = None

    @property
    def faces(self) -> int:
        """How many faces were found."""
        return len(self.found.boxes) if self.found else 0

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the frame was decoded."""
        return since_ms(self.decoded_s)

    @property
    def deadline(self) -> Deadline:
        """The instant by which its faces are to be answered."""
        return self.after(1.0)

    @property
    def from_now(self) -> Deadline:
        """By when what is tried beside an answered frame has to be there."""
        return Deadline.after_ms(self._deadline_ms)

    def after(self, share: float) -> Deadline:
        """The instant at which this share of its time has passed."""
        return Deadline(self.decoded_s + share * self._deadline_ms / 1000)

    def local_start(self, needs_ms: float) -> Deadline:
        """When the device begins with its own answer, which takes it ``needs_ms``."""
        return Deadline(self.decoded_s + local_start_ms(self._deadline_ms, needs_ms) / 1000)

    def missed(self, needs_ms: float) -> Reason | None:
        """Why nothing is sent any more where the device should have begun already."""
        late = too_late_to_send(self.elapsed_ms, self._deadline_ms, needs_ms)
        return Reason.DEADLINE if late else None
