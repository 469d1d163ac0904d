from __future__ import annotations

import dataclasses
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy.paths import Paths
from benchmarks.leakage import latent_decoder, leakage, reidentification
from benchmarks.leakage.latent_decoder import Training, decoded, trained
from benchmarks.leakage.leakage import (
    likeness,
    payload_bytes,
    picture_of,
    report,
    table,
    through_picture,
)
from benchmarks.leakage.reidentification import gallery_places, ranks, row
from splitfer.shared.codec.quantiser import Quantiser
from splitfer.shared.weights import Weights
from training.data.datasets import DataError, Faces

RNG = np.random.default_rng(0)
QUANTISER = Quantiser(np.array([[4.0] * 8, [1.0] * 8], np.float32), 127)
TRAINING = Training("0123456789abcdef", 32, 3)


def smooth(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures ``(n, 48, 48)`` that differ and have little fine detail."""
    coarse = np.random.default_rng(seed).integers(20, 235, (n, 5, 5), dtype=np.uint8)
    large = [Image.fromarray(one).resize((48, 48), Image.Resampling.BICUBIC) for one in coarse]
    return np.stack([np.asarray(one) for one in large])


def reduced(pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Latents that hold the pictures: each of eight channels is the picture at 28x28."""
    small = [np.asarray(Image.fromarray(one).resize((28, 28))) for one in pictures]
    return np.repeat(np.stack(small)[:, None] / 16.0 - 8.0, 8, axis=1).astype(np.float16)


def error(made: NDArray[np.uint8], pictures: NDArray[np.uint8]) -> float:
    return float(np.abs(made.astype(float) - pictures).mean())


def test_a_decoder_learns_to_show_unseen_pictures(tmp_path: Path) -> None:
    pictures, unseen = smooth(64), smooth(8, seed=1)
    training = Training("0123456789abcdef", 64, 24)
    decoder = trained(reduced(pictures), pictures, QUANTISER, training, tmp_path / "decoder.pt", 1)
    z = reduced(unseen).astype(np.float32)
    grey = np.full_like(unseen, 128)
    for rate in (0, 1):
        made = decoded(decoder, QUANTISER.symbols(z, rate), QUANTISER.steps(rate))
        assert (made.shape, made.dtype) == (unseen.shape, np.uint8)
        assert error(made, unseen) < 0.7 * error(grey, unseen)


def test_an_interrupted_training_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, z = smooth(32), reduced(smooth(32))

    def decoder_of(file: Path) -> NDArray[np.uint8]:
        decoder = trained(z, pictures, QUANTISER, TRAINING, file, 1)
        symbols = QUANTISER.symbols(z[:4].astype(np.float32), 0)
        return decoded(decoder, symbols, QUANTISER.steps(0))

    whole = decoder_of(tmp_path / "new" / "whole.pt")
    saved, save = [], latent_decoder._save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        saved.append(arguments)
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(latent_decoder, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        decoder_of(tmp_path / "decoder.pt")
    resumed = decoder_of(tmp_path / "decoder.pt")
    assert len(saved) == TRAINING.epochs
    assert np.abs(resumed.astype(int) - whole).max() <= 1
    # Once it is done it is not done again.
    decoder_of(tmp_path / "decoder.pt")
    assert len(saved) == TRAINING.epochs


def test_another_training_is_not_gone_on_with(tmp_path: Path) -> None:
    pictures, file = smooth(4), tmp_path / "decoder.pt"
    trained(reduced(pictures), pictures, QUANTISER, TRAINING, file, 1)
    other = dataclasses.replace(TRAINING, fingerprint="f" * 16)
    with pytest.raises(DataError, match="another training"):
        trained(reduced(pictures), pictures, QUANTISER, other, file, 1)
    nonsense = tmp_path / "nonsense.pt"
    nonsense.write_bytes(b"no decoder")
    with pytest.raises(DataError, match="not a decoder"):
        trained(reduced(pictures), pictures, QUANTISER, TRAINING, nonsense, 1)
    assert nonsense.read_bytes() == b"no decoder"


def test_ranks_by_hand() -> None:
    gallery = np.array([[0.0, 0], [1, 0], [0, 3]])
    # The second is nearer to the first picture, the third to all alike but its own.
    found = ranks(np.array([[0.1, 0], [0.2, 0], [0, 0]]), gallery)
    assert found.tolist() == [1, 2, 3]
    assert row(found)["rank_1"] == pytest.approx(1 / 3, abs=1e-6)
    assert row(found)["rank_5"] == 1
    low, high = row(found)["rank_1_interval_95"]
    assert low < 1 / 3 < high


def test_where_nothing_tells_faces_apart_nobody_is_found() -> None:
    assert ranks(np.zeros((4, 3)), np.zeros((4, 3))).tolist() == [4, 4, 4, 4]


def test_a_gallery_holds_no_copies_and_nothing_blank() -> None:
    pictures = smooth(5)
    pictures[1] = pictures[0, :, ::-1]  # mirrored
    pictures[2] = 90
    faces = Faces(pictures, np.zeros(5, np.int64), np.arange(5))
    assert gallery_places(faces, 3).tolist() == [0, 3, 4]
    with pytest.raises(DataError, match="3 here"):
        gallery_places(faces, 4)


def test_likeness_of_equal_and_of_other_pictures() -> None:
    pictures = smooth(3)
    same = likeness(pictures, pictures)
    assert same == {"psnr_db": float("inf"), "ssim": 1.0}
    off = np.clip(pictures.astype(int) + 8, 0, 255).astype(np.uint8)
    assert likeness(off, pictures)["psnr_db"] == pytest.approx(20 * np.log10(255 / 8), abs=0.05)
    assert likeness(pictures[::-1], pictures)["ssim"] < 0.7


def test_a_picture_codec_is_set_to_no_more_bytes() -> None:
    pictures = smooth(12)
    sizes = []
    for most in (2000.0, 450.0, 200.0):
        codec = picture_of("webp", pictures, most)
        assert codec is not None
        seen = through_picture(codec, pictures)
        assert seen.bytes_mean <= most
        assert seen.pictures.shape == pictures.shape
        sizes.append(error(seen.pictures, pictures))
    assert sizes == sorted(sizes)
    assert picture_of("webp", pictures, 20.0) is None


def test_without_the_face_network_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(reidentification, "distribution", missing)
    with pytest.raises(DataError, match=r"pip install face-recognition-models .*\[leakage\]"):
        reidentification.dlib_descriptors()


def test_the_whole_measurement(
    coded_weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small: a face network that looks at the pixels, and a decoder that has learnt next to
    nothing."""
    monkeypatch.setattr(reidentification, "dlib_descriptors", lambda: _pixels)
    data = tmp_path / "fer2013"
    for usage, n, seed in (("Training", 12, 3), ("PublicTest", 8, 4)):
        folder = data / ("train" if usage == "Training" else "test") / "happy"
        folder.mkdir(parents=True)
        for place, picture in enumerate(smooth(n, seed)):
            Image.fromarray(picture).save(folder / f"{usage}_{place}.png")
    arguments = leakage.parser().parse_args([
        "--data", str(data), "--weights", str(coded_weights_folder), "--gallery", "6",
        "--faces", "10", "--epochs", "1", "--decoder", str(tmp_path / "decoder.pt"),
        "--plot", str(tmp_path / "faces.png"), "--threads", "1",
    ])  # fmt: skip
    result = report(arguments)
    assert result["chance"] == {"rank_1": round(1 / 6, 6), "rank_5": round(5 / 6, 6)}
    assert result["n"] == 8
    assert result["decoder"] == {"faces": 10, "epochs": 1}
    paths = Paths(Weights(coded_weights_folder), "", 1)
    rates = [entry.name for entry in paths.weights.manifest.rates]
    assert [name for name in result["rows"] if name.startswith("latent")] == [
        f"latent, {name}" for name in rates
    ]
    files = [found for name, found in result["rows"].items() if "latent" not in name]
    # A picture file of a face tells who it is, whatever the latent does.
    assert files
    assert files[0]["rank_1"] == 1
    json.dumps(result)
    assert "chance" in table(result)
    assert (tmp_path / "faces.png").stat().st_size > 1000


def test_bytes_are_those_of_payloads(coded_weights_folder: Path) -> None:
    codec = Weights(coded_weights_folder).payload_codec
    zeros = np.full((2, 8, 28, 28), 128, np.uint8)
    busy = np.clip(128 + RNG.integers(-9, 10, zeros.shape), 0, 255).astype(np.uint8)
    assert 0 < payload_bytes(codec, zeros, 0) < payload_bytes(codec, busy, 0)


def _pixels(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pictures.reshape(len(pictures), -1).astype(np.float64)
