"""The browser edge makes what a Python edge makes of the same frame, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import splitfer.cloud_server
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import LATENT_SHAPE, Answer, Box, trust_in
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import UNCERTAIN_BELOW, Prior
from splitfer.shared.vision.crop import Cropping, crop_face
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.vision.quality import quality
from splitfer.shared.weights import Weights, default_folder
from tests.browser.node import EDGE, as_bytes, as_text, build_wasm, needs_node, run_module
from tests.clips import demo_frames
from training.export.frontal import frontal_file

pytestmark = needs_node
LIMITS = {"searchSidePx": 480, "smallestFacePx": 40, "mostFaces": 32}


@pytest.fixture(scope="module")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wasm(tmp_path_factory.mktemp("wasm"))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(default_folder())


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """Some of the demo clip, a portrait, and noise, RGB."""
    example = Path(splitfer.cloud_server.__path__[0]) / "rest_api" / "page" / "example.jpg"
    portrait = Image.open(example).convert("RGB")
    noise = np.random.default_rng(3).integers(0, 256, (97, 203, 3), np.uint8)
    turned = portrait.resize((318, 424))
    return [*demo_frames()[::12], np.asarray(portrait), np.asarray(turned), noise]


def latents(weights: Weights) -> list[tuple[NDArray[np.uint8], int]]:
    """Golden ones at every rate, and many that no head ever gave."""
    rng, limit = np.random.default_rng(7), weights.manifest.symbol_limit
    found = []
    for rate in range(len(weights.manifest.rates)):
        z = weights.golden.z
        assert z is not None
        found += [(one, rate) for one in weights.quantiser.symbols(z, rate)]
        for scale in (0.0, 0.05, 0.3, 1.0, 4.0, 40.0):
            values = np.clip(np.rint(rng.laplace(0, scale, (6, *LATENT_SHAPE))), -limit, limit)
            values[rng.random((6, 8)) < 0.2] = 0  # channels that say nothing
            found += [(one, rate) for one in (values + 128).astype(np.uint8)]
    return found


def test_payloads_are_the_same_bytes(wasm: Path, weights: Weights, tmp_path: Path) -> None:
    assert weights.manifest.entropy is not None
    tables = (weights.folder / weights.manifest.entropy.file).read_bytes()
    many = latents(weights)
    for codec, of in (
        (weights.payload_codec, tables),
        (PayloadCodec(None, len(weights.manifest.rates)), None),  # raw
    ):
        given = {
            "wasm": str(wasm / "codec.wasm"),
            "tables": of and as_text(of),
            "latents": [{"symbols": as_text(one), "rate": rate} for one, rate in many],
        }
        found = run_module("payloads", given, tmp_path)
        for (one, rate), said in zip(many, found, strict=True):
            assert as_bytes(said["payload"]).tobytes() == codec.encode(Latent(one, rate))
            assert (as_bytes(said["symbols"]) == one.ravel()).all()
            assert said["rate"] == rate


def test_damaged_payloads_are_refused(wasm: Path, weights: Weights, tmp_path: Path) -> None:
    assert weights.manifest.entropy is not None
    tables = (weights.folder / weights.manifest.entropy.file).read_bytes()
    whole = weights.payload_codec.encode(Latent(weights.golden.latents[0], 1))
    flipped = whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:]
    given = {
        "wasm": str(wasm / "codec.wasm"),
        "tables": as_text(tables),
        "payloads": [as_text(one) for one in (whole, flipped, whole[:-1])],
    }
    good, *bad = run_module("refused", given, tmp_path)
    assert good == ""
    assert bad == ["wrong checksum"] * 2


def test_symbols_are_the_quantisers(weights: Weights, tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    z = rng.normal(0, 4, LATENT_SHAPE).astype(np.float32)
    z[0] = np.arange(784, dtype=np.float32).reshape(28, 28) / 2 - 30  # halves
    gains = [list(rate.gains) for rate in weights.manifest.rates]
    given = {"z": as_text(z), "gains": gains, "limit": weights.manifest.symbol_limit}
    for rate, said in enumerate(run_module("symbols", given, tmp_path)):
        expected = weights.quantiser.symbols(z[None], rate)[0]
        assert (as_bytes(said).reshape(LATENT_SHAPE) == expected).all()


def test_crops_are_the_same_pixels(
    frames: list[NDArray[np.uint8]], weights: Weights, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    older = Cropping(scale=1.1, shift_x=0.02, shift_y=-0.05)  # bicubic, 48 px
    given, expected = [], []
    for frame in frames[-5:]:
        height, width = frame.shape[:2]
        boxes = [Box(-20, -10, 90, 85), Box(width - 60, height - 50, 71, 71), Box(3, 5, 30, 30)]
        boxes += [Box(*map(int, rng.integers(1, 150, 4))) for _ in range(4)]
        for cropping in (weights.manifest.crop, older):
            rgba = np.dstack((frame, np.full(frame.shape[:2], 255, np.uint8)))
            given.append(
                {
                    "rgba": as_text(rgba),
                    "width": width,
                    "height": height,
                    "boxes": [box.as_list() for box in boxes],
                    "cropping": {
                        "scale": cropping.scale,
                        "shift_x": cropping.shift_x,
                        "shift_y": cropping.shift_y,
                        "detail_px": cropping.detail_px,
                        "reduce": cropping.reduce,
                    },
                }
            )
            grey = to_grey(frame)
            expected.append((grey, [crop_face(grey, box, cropping) for box in boxes]))
    found = run_module("crops", {"frames": given}, tmp_path)
    for (grey, crops), said in zip(expected, found, strict=True):
        assert (as_bytes(said["grey"]) == grey.ravel()).all()
        for crop, one in zip(crops, said["crops"], strict=True):
            assert (as_bytes(one) == crop.ravel()).all()


def test_the_quality_and_what_it_leaves_are_the_same(weights: Weights, tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    crops = [*weights.golden.crops, np.zeros((224, 224), np.uint8)]
    crops += [
        np.asarray(Image.fromarray(crops[0]).resize((n, n)).resize((224, 224)))
        for n in (4, 9, 20, 40)
    ]
    crops += [(crops[1] // n).astype(np.uint8) for n in (9, 40, 90, 200)]
    crops += [rng.integers(0, 256, (224, 224), np.uint8)]
    coarse = rng.integers(0, 256, (56, 56), np.uint8)
    crops += [np.kron(coarse, np.ones((4, 4), np.uint8))]
    shares = weights.manifest.shares(LabelSet.CROWD, Prior.NATURAL)
    faces, expected = [], []
    for crop in crops:
        for side_px in (2.0, 12.5, 200.0):
            row = tuple(rng.dirichlet(np.full(7, 0.4)).tolist())
            score = quality(crop, side_px).score
            trust = trust_in(Answer(row, "", LabelSet.CROWD), score, shares, UNCERTAIN_BELOW)
            expected.append((score, trust.confidence, trust.uncertain))
            given = {"side_px": side_px, "probabilities": row, "shares": shares}
            faces.append({"crop": as_text(crop), **given})
    found = run_module("trust", {"faces": faces}, tmp_path)
    assert len({round(score, 2) for score, _, _ in expected}) > 8
    for said, (score, confidence, uncertain) in zip(found, expected, strict=True):
        assert said["quality"] == pytest.approx(score, abs=1e-4)
        assert said["confidence"] == pytest.approx(confidence, abs=1e-4)
        assert said["uncertain"] == uncertain


def test_boxes_are_dlibs(frames: list[NDArray[np.uint8]], wasm: Path, tmp_path: Path) -> None:
    detector = DlibDetector(
        SearchLimits(LIMITS["searchSidePx"], LIMITS["smallestFacePx"], LIMITS["mostFaces"])
    )
    greys = [to_grey(frame) for frame in frames]
    given = {
        "wasm": str(wasm / "frontal.wasm"),
        "classifiers": str(EDGE / "frontal.bin"),
        "frames": [
            {"grey": as_text(g), "width": g.shape[1], "height": g.shape[0], "limits": LIMITS}
            for g in greys
        ],
    }
    found = run_module("faces", given, tmp_path)
    expected = [[box.as_list() for box in detector.detect(grey)] for grey in greys]
    assert sum(map(len, expected)) > 10
    assert found == expected


def test_the_classifiers_are_this_dlibs() -> None:
    assert (EDGE / "frontal.bin").read_bytes() == frontal_file()
