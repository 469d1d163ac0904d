from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.runtime import Tail
from tests.unit.training.faces import made_faces
from training.export.quantise import (
    float16_everywhere,
    float16_weights,
    pruned,
    static_int8,
    symmetric,
    symmetric_int8,
)
from training.export.whole_model import whole_model

CROPS = np.stack([enlarge_crop(one) for one in made_faces(8).pictures])[:, None]
FLOATS = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e4, 1e4, width=32))


@pytest.fixture(scope="module", params=["backbone", "edgecnn"])
def model(request: pytest.FixtureRequest) -> bytes:
    return whole_model(Weights(default_folder()), request.param)


def logits(data: bytes) -> np.ndarray:
    return np.concatenate(list(Tail(data, 1).all_logits(CROPS).values()), axis=1)


def change(before: bytes, after: bytes) -> float:
    wanted = logits(before)
    return float(np.abs(logits(after) - wanted).max() / np.abs(wanted).max())


@example(np.array([np.finfo(np.float32).tiny], np.float32))
@given(FLOATS)
def test_the_papers_symmetric_quantisation(weights: np.ndarray) -> None:
    rounded, scale = symmetric(weights)
    assert rounded.dtype == np.int8
    assert np.abs(rounded.astype(int)).max() <= 127
    most = float(np.abs(weights).max())
    if most > 0:
        assert scale == pytest.approx(255 / (2 * most))  # eq. 3 and 4
        # Half a step, and half a one more where 127.5 is cut to 127.
        assert np.abs(rounded / scale - weights).max() <= 1.001 / scale
    np.testing.assert_array_equal(symmetric(-weights)[0], -rounded)
    assert not rounded[weights == 0].any()


def test_a_whole_model_answers_as_the_weights_do() -> None:
    weights = Weights(default_folder())
    features = weights.head(1).run(CROPS[:, 0])[0]
    wanted = weights.tail("local", 1).all_logits(features)
    found = Tail(whole_model(weights, "backbone"), 1).all_logits(CROPS)
    for one, rows in wanted.items():
        np.testing.assert_allclose(found[one], rows, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "share_of_bytes", "most"),
    [(float16_weights, 0.55, 1e-3), (symmetric_int8, 0.31, 0.1), (float16_everywhere, 0.55, 1e-2)],
)
def test_fewer_bytes_and_nearly_the_same_logits(
    model: bytes, form: object, share_of_bytes: float, most: float
) -> None:
    assert callable(form)
    after: bytes = form(model)
    assert len(after) < share_of_bytes * len(model)
    assert change(model, after) < most


def test_weights_of_seven_bits_leave_room_for_sums_of_two(model: bytes) -> None:
    import onnx
    from onnx import numpy_helper

    after = onnx.load_model_from_string(static_int8(model, CROPS))
    weights = [numpy_helper.to_array(one) for one in after.graph.initializer]
    largest = [
        int(np.abs(one.astype(int)).max()) for one in weights if one.dtype == np.int8 and one.ndim
    ]
    # 2 * 255 * 64 fits 16 bits; with 127 in place of 64 it would not.
    assert 0 < max(largest) <= 64


def test_int8_of_weights_and_activations_with_ranges_from_faces(model: bytes) -> None:
    after = static_int8(model, CROPS)
    assert len(after) < 0.4 * len(model)
    assert change(model, after) < 0.3


def test_pruning_takes_the_smallest_weights_of_each_layer(model: bytes, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    after = onnx.load_model_from_string(pruned(model, 0.5))
    arrays = {one.name: numpy_helper.to_array(one) for one in after.graph.initializer}
    before = {
        one.name: numpy_helper.to_array(one)
        for one in onnx.load_model_from_string(model).graph.initializer
    }
    thinned = [name for name in arrays if (arrays[name] != before[name]).any()]
    assert len(thinned) > 20
    for name in thinned:
        zero = arrays[name] == 0
        assert zero.mean() == pytest.approx(0.5, abs=1e-3)
        assert np.abs(before[name][zero]).max() <= np.abs(before[name][~zero]).min()
    answers = next(name for name in arrays if name.endswith("classifier.weight"))
    np.testing.assert_array_equal(arrays[answers], before[answers])
    with pytest.raises(ValueError, match="from 0 to less than 1"):
        pruned(model, 1.0)
