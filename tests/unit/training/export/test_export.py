from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from splitfer.shared.labels import LABELS
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import fingerprint
from training.export.export import CROP, golden_crops, quantiser_of, turn
from training.export.scores import fit_temperature
from training.models.split_model import SplitModel


def test_the_fingerprint_is_that_of_the_head(weights_folder: Path, split_model: SplitModel) -> None:
    tensors = {name: tensor.numpy() for name, tensor in split_model.head.state_dict().items()}
    assert weights_folder.name == fingerprint(tensors, LABELS, CROP, quantiser_of(split_model))


def test_the_folder_holds_what_the_manifest_names(weights_folder: Path) -> None:
    manifest = Weights(weights_folder).manifest
    named = {manifest.head.file, manifest.golden.file, *(t.file for t in manifest.tails.values())}
    assert {path.name for path in weights_folder.iterdir()} == named | {"manifest.json"}
    assert manifest.origin == {"data": "none"}


@pytest.mark.parametrize("name", ["head", "local", "cloud"])
def test_exported_files_are_small_and_say_nothing_of_the_machine(
    weights_folder: Path, name: str
) -> None:
    data = (weights_folder / f"{name}.onnx").read_bytes()
    assert len(data) < 6 * 2**20
    assert b"site-packages" not in data
    assert str(Path.cwd()).encode() not in data
    batch = onnx.load_from_string(data).graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param


def test_golden_crops_use_the_whole_range() -> None:
    crops = golden_crops()
    assert (crops.dtype, crops.shape) == (np.uint8, (2, 224, 224))
    assert np.ptp(crops[0]) > 200
    np.testing.assert_array_equal(crops, golden_crops())


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_is_found_again(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 7)).astype(np.float32)
    powers = np.exp(logits / true)
    shares = np.cumsum(powers / powers.sum(axis=1, keepdims=True), axis=1)
    labels = (rng.random((20_000, 1)) > shares).sum(axis=1).clip(0, 6)
    assert fit_temperature(logits, np.eye(7)[labels]) == pytest.approx(true, rel=0.04)


def test_a_rates_knob_is_turned_and_no_other() -> None:
    model = SplitModel()
    before = quantiser_of(model).gains
    turn(model, "default=0.5")
    after = quantiser_of(model).gains
    np.testing.assert_allclose(after[1], before[1] / 2, rtol=1e-6)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize("wrong", ["most=1", "default", "default=0", "default=-1", "default=nan"])
def test_a_wrong_turn_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match=f"--gain {wrong}"):
        turn(SplitModel(), wrong)
