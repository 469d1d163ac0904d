from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import Head, Tail
from training.export.onnx import export_cloud_tail, torch_outputs
from training.models.asp import ASP
from training.models.bottleneck import DEFAULT_RATE
from training.models.sfp import SFP
from training.models.sfp_energy import SFPEnergy
from training.models.split_model import CLOUD_TAILS, MODULES, SplitConfig, SplitModel, attention


@pytest.mark.parametrize("cloud", [one for one in CLOUD_TAILS if one != "ensemble"])
@pytest.mark.parametrize("modules", MODULES)
def test_every_choice_of_modules_runs(modules: str, cloud: str) -> None:
    model = SplitModel(SplitConfig(modules=modules, cloud=cloud)).eval()
    kinds = {"asp": ASP, "sfp": SFP, "sfp-energy": SFPEnergy}
    expected = [] if modules == "none" else [kinds[name] for name in modules.split("+")]
    assert [type(m) for m in model.cloud_tail.attention] == expected
    with torch.no_grad():
        out = model(torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8))
    assert out.local.shape == out.cloud.shape == (1, 7)
    assert out.values.shape == (1, 8, 8, 8)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"modules": "sfp+sfp"}, "modules are one of none, asp, sfp, .* not 'sfp\\+sfp'"),
        ({"modules": ""}, "modules are one of"),
        ({"cloud": "huge"}, "cloud is one of shufflenet, lite, residual, ensemble, not 'huge'"),
        ({"cloud": "ensemble", "modules": "asp"}, "cloud ensemble has no attention"),
        ({"directions": "H+Z"}, "ASP directions are a subset of .* not 'H\\+Z'"),
        ({"wavelet": "db3"}, "SFP offers .* not 'db3'"),
        ({"level": 5}, "SFP offers .* levels 1 to 4, not 'db2' at 5"),
        ({"modules": "none", "level": 0}, "SFP offers"),
    ],
)
def test_other_options_are_refused(option: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig(**option)  # type: ignore[arg-type]


def test_options_reach_the_modules() -> None:
    asp, sfp = attention(SplitConfig(directions="V+BD", wavelet="haar", level=2))
    assert isinstance(asp, ASP)
    assert asp.directions == ("V", "BD")
    assert isinstance(sfp, SFP)
    assert (sfp.wavelet, max(sfp.levels)) == ("haar", 2)


def test_both_tails_share_one_head(split_model: SplitModel) -> None:
    crop = torch.from_numpy(_crops(2))[:, None]
    calls = []
    hook = split_model.head.stem.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        out = split_model(crop)
    assert len(calls) == 1
    with torch.no_grad():
        torch.testing.assert_close(split_model.local(crop), out.local)
        torch.testing.assert_close(split_model.cloud(crop), out.cloud)
    hook.remove()


def test_the_gradient_passes_the_quantiser() -> None:
    torch.manual_seed(0)
    model = SplitModel().train()
    model.cloud(torch.randint(0, 256, (2, 1, 32, 32)).float()).sum().backward()
    weight = model.head.encoder.conv.weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def _crops(n: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(n)
    return np.stack([enlarge_crop(p) for p in rng.integers(0, 256, (n, 48, 48), dtype=np.uint8)])


@pytest.mark.parametrize("n", [1, 3, 8])
def test_onnx_runtime_gives_torchs_numbers(
    split_model: SplitModel, weights_folder: Path, n: int
) -> None:
    crops = _crops(n)
    expected = torch_outputs(split_model, crops)
    features, z = Head((weights_folder / "head.onnx").read_bytes(), 1).run(crops)
    assert (features.dtype, z.dtype) == (np.float32, np.float32)
    quantiser = Weights(weights_folder).quantiser
    latents = quantiser.symbols(z, DEFAULT_RATE)
    assert np.ptp(latents) >= 4, "the latents of this test ought to use some of the range"
    off = np.abs(latents.astype(int) - expected["latent"].astype(int))
    assert off.max() <= 1
    assert np.count_nonzero(off) <= max(1, 1e-4 * off.size)
    np.testing.assert_allclose(features, expected["features"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(z, expected["z"], rtol=1e-4, atol=1e-4)

    local = Tail((weights_folder / "local.onnx").read_bytes(), 1).logits(features)
    np.testing.assert_allclose(local, expected["local"], rtol=0, atol=1e-4)
    cloud = Tail((weights_folder / "cloud.onnx").read_bytes(), 1)
    same_symbols = np.asarray(expected["latent"], dtype=np.uint8)
    steps = quantiser.steps(DEFAULT_RATE)
    logits = cloud.logits(same_symbols, steps)
    np.testing.assert_allclose(logits, expected["cloud"], rtol=0, atol=1e-4)
    probabilities = cloud.run(same_symbols, steps)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_the_lite_tail_is_exported_like_the_other() -> None:
    tail = SplitModel(SplitConfig(cloud="lite")).cloud_tail.eval()
    symbols = torch.randint(120, 137, (3, 8, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        expected = tail((symbols.float() - 128) * 0.5)
    steps = np.full(8, 0.5, np.float32)
    logits = Tail(export_cloud_tail(tail), 1).logits(symbols.numpy(), steps)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-4)


def test_an_answer_does_not_depend_on_its_batch_or_the_rates_in_it(weights_folder: Path) -> None:
    head = Head((weights_folder / "head.onnx").read_bytes(), 1)
    tail = Tail((weights_folder / "cloud.onnx").read_bytes(), 1)
    quantiser = Weights(weights_folder).quantiser
    z = head.run(_crops(3))[1]
    latents = np.concatenate([quantiser.symbols(z[i : i + 1], i) for i in range(3)])
    steps = np.stack([quantiser.steps(i) for i in range(3)])
    pairs = zip(latents, steps, strict=True)
    one_by_one = np.concatenate([tail.logits(y[None], step) for y, step in pairs])
    np.testing.assert_allclose(tail.logits(latents, steps), one_by_one, rtol=0, atol=1e-4)
