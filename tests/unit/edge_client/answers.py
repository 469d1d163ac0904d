"""Frames and answers for the tests of what draws them."""

from __future__ import annotations

import numpy as np

from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import Answer, AnswerPath, Box, FaceAnswer, Reason, Trust
from splitfer.shared.labels import LabelSet


def frame(
    index: int = 0,
    *,
    time_s: float | None = None,
    size: tuple[int, int] = (160, 120),
    grey: int = 90,
) -> Frame:
    rgb = np.full((size[1], size[0], 3), grey, np.uint8)
    return Frame("film", index, index / 20 if time_s is None else time_s, rgb, decoded_s=0.0)


def face(
    path: AnswerPath = AnswerPath.CLOUD,
    reason: Reason | None = None,
    box: tuple[int, int, int, int] = (60, 50, 40, 40),
    trust: Trust | None = None,
) -> FaceAnswer:
    answer = Answer((0.01, 0.01, 0.01, 0.93, 0.02, 0.01, 0.01), "model", LabelSet.CROWD)
    return FaceAnswer(Box(*box), answer, path, reason, quality=0.3216, trust=trust)
