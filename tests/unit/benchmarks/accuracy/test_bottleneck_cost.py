from __future__ import annotations

import numpy as np
import torch

from benchmarks.accuracy.bottleneck_cost import Uncut, right
from tests.unit.training.faces import made_faces
from training.data.augment import enlarge
from training.data.datasets import Faces
from training.models.split_model import SplitModel


def test_without_the_bottleneck_the_features_go_through_the_same_tail(
    split_model: SplitModel,
) -> None:
    uncut = Uncut(split_model.config)
    uncut.load_state_dict(split_model.state_dict())
    uncut.eval()
    tail = split_model.cloud_tail
    crop = torch.full((2, 1, 224, 224), 90.0)
    crop[1, :, 60:160] = 200.0
    with torch.no_grad():
        features = split_model.head.features(crop)
        expected = tail.trunk(tail.attention(features))
        torch.testing.assert_close(uncut.cloud(crop), expected)
        assert not torch.allclose(uncut.cloud(crop), split_model.cloud(crop))


def test_a_face_is_right_when_cloud_gives_its_label(split_model: SplitModel) -> None:
    made = made_faces(3)
    with torch.no_grad():
        labels = split_model.cloud(enlarge(torch.from_numpy(made.pictures), 224)).argmax(1).numpy()
    labels[1] = (labels[1] + 1) % 7
    found = right(split_model, Faces(made.pictures, labels, made.ids))
    np.testing.assert_array_equal(found, [True, False, True])
