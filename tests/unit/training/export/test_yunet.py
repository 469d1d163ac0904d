from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from splitfer.shared.codec import _entropy
from splitfer.shared.vision.yunet import MODEL, STRIDES
from splitfer.shared.weights.runtime import session
from training.export.yunet import Library, yunet


class MadeLibrary(Library):
    """Random parameters by name, of the sizes that are asked for."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[np.float32]] = {}

    def array(self, name: str, count: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(sum(name.encode()) * count)
        made = rng.normal(0, 0.3 if "weight" in name else 0.1, count).astype(np.float32)
        return self.arrays.setdefault(name, made)

    def tensor(self, name: str, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.array(name, int(np.prod(shape))).reshape(shape).copy())

    def torch_pair(self, x: torch.Tensor, name: str, outputs: int) -> torch.Tensor:
        """1x1, then 3x3 by channels, as the library has them: the latter's channels are last."""
        inputs = x.shape[1]
        point = self.tensor(f"{name}_pw_weight", outputs, inputs)[:, :, None, None]
        x = functional.conv2d(x, point, self.tensor(f"{name}_pw_bias", outputs))
        depth = self.tensor(f"{name}_dw_weight", 9, outputs).T.reshape(outputs, 1, 3, 3)
        bias = self.tensor(f"{name}_dw_bias", outputs)
        return functional.conv2d(x, depth, bias, padding=1, groups=outputs)


def reference(library: MadeLibrary, grey: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The network of colour pictures with its heads apart, on three equal channels."""
    x = torch.from_numpy(np.stack([grey] * 3)[None].astype(np.float32))
    stem = library.tensor("backbone__model0_pw_weight", 16, 32)[:, :27]
    stem = stem.reshape(16, 3, 3, 3).permute(0, 3, 1, 2)
    x = functional.conv2d(
        x, stem, library.tensor("backbone__model0_pw_bias", 16), stride=2, padding=1
    )
    x = library.torch_pair(x.relu(), "backbone__model0_dp", 16).relu()
    x = functional.max_pool2d(x, 2)
    stages = []
    for stage, outputs in enumerate(((16, 32), (32, 64), (64, 64), (64, 64), (64, 64)), 1):
        x = functional.max_pool2d(x, 2) if stage > 2 else x
        for part, channels in enumerate(outputs, 1):
            x = library.torch_pair(x, f"backbone__model{stage}_dp{part}", channels).relu()
        stages.append(x)
    maps: list[NDArray[np.float32]] = []
    above: torch.Tensor | None = None
    for level in (2, 1, 0):
        x = stages[2 + level]
        if above is not None:
            x = x + functional.interpolate(above, scale_factor=2, mode="nearest")
        above = library.torch_pair(x, f"neck__lateral_convs__{level}", 64).relu()
        heads = [
            library.torch_pair(above, f"bbox_head__multi_level_{part}__{level}", channels)
            for part, channels in (("cls", 1), ("obj", 1), ("bbox", 4))
        ]
        maps.insert(0, torch.cat(heads, 1).numpy())
    return maps


def test_a_grey_picture_gives_what_three_equal_channels_give() -> None:
    library = MadeLibrary()
    grey = np.random.default_rng(1).integers(0, 256, (64, 96), np.uint8)
    found = session(yunet(library).SerializeToString(), 1).run(None, {"picture": grey[None, None]})
    for one, wanted, stride in zip(found, reference(library, grey), STRIDES, strict=True):
        assert one.shape == (1, 6, 64 // stride, 96 // stride)
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_the_shipped_file_is_small_and_takes_any_multiple_of_32() -> None:
    assert MODEL.stat().st_size < 300_000
    loaded = session(MODEL.read_bytes(), 1)
    for height, width in ((32, 32), (96, 64)):
        picture = np.zeros((1, 1, height, width), np.uint8)
        assert [m.shape[2:] for m in loaded.run(None, {"picture": picture})] == [
            (height // stride, width // stride) for stride in STRIDES
        ]


def test_the_licence_stands_beside_the_file() -> None:
    text = MODEL.with_suffix(".LICENSE").read_text()
    assert "Shiqi Yu" in text
    assert "3-clause BSD" in text


def test_a_library_without_the_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="backbone__model0_pw_weight"):
        Library(Path(_entropy.__file__)).stem(16)
