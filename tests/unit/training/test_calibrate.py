from __future__ import annotations

from pathlib import Path

import numpy as np

from shared.runtime import softmax
from shared.weights import Weights
from tests.unit.training.faces import made_faces
from training.calibrate import complete_manifest, measure, unseen
from training.datasets import Faces


def test_faces_that_were_trained_on_are_not_calibrated_on() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)
    ids = np.arange(6)
    train = Faces(pictures[:4], ids[:4], ids[:4])
    again = np.concatenate((pictures[4:], pictures[1:2], pictures[2:3, :, ::-1]))
    labels = np.array([4, 5, 1, 2])
    assert unseen(Faces(again, labels, labels), train).labels.tolist() == [4, 5]


def test_both_answers_together_are_measured_as_the_device_gives_them(weights_copy: Path) -> None:
    held_out, test = made_faces(24), made_faces(24, seed=1)
    manifest = complete_manifest(weights_copy, held_out, {"PublicTest": test})
    weights, found = Weights(weights_copy), measure(Weights(weights_copy), test)
    for index, rate in enumerate(manifest.rates):
        own = softmax(found.local / np.float32(weights.temperature("local", index)))
        theirs = softmax(
            found.cloud["cloud", index] / np.float32(weights.temperature("cloud", index))
        )
        right = ((own + theirs).argmax(axis=1) == test.labels).mean()
        assert rate.together == {"cloud": {"PublicTest": round(float(right), 5)}}
