from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
    own = softmax(found.local / np.float32(weights.temperature("local", 0)))
    for index, rate in enumerate(manifest.rates):
        temperature = np.float32(weights.temperature("cloud", index))
        mean = (own + softmax(found.cloud["cloud", index] / temperature)) / 2
        right = mean[np.arange(24), test.labels]
        both = rate.together["cloud"]
        assert both.accuracy == {
            "PublicTest": round(float((mean.argmax(1) == test.labels).mean()), 5)
        }
        assert both.log_loss["PublicTest"] == pytest.approx(-np.log(right).mean(), abs=1e-4)
    assert manifest.tails["local"].log_loss["PublicTest"] == pytest.approx(
        -np.log(own[np.arange(24), test.labels]).mean(), abs=1e-4
    )
