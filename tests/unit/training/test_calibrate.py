from __future__ import annotations

import numpy as np

from training.calibrate import unseen
from training.datasets import Faces


def test_faces_that_were_trained_on_are_not_calibrated_on() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)
    ids = np.arange(6)
    train = Faces(pictures[:4], ids[:4], ids[:4])
    again = np.concatenate((pictures[4:], pictures[1:2], pictures[2:3, :, ::-1]))
    labels = np.array([4, 5, 1, 2])
    assert unseen(Faces(again, labels, labels), train).labels.tolist() == [4, 5]
