from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import Paths, _wilson, measure, picture_codec, table
from shared.codec.payload import MAX_PAYLOAD_BYTES
from shared.contracts import Path as AnswerPath
from shared.weights import Weights
from tests.unit.training.faces import made_faces, members, write_zip
from training.datasets import Faces

FACES = made_faces(40, seed=5)


@pytest.fixture(scope="module")
def paths(weights_folder: Path) -> Paths:
    weights = Weights(weights_folder)
    return Paths(
        weights, weights.head(1), weights.tail("local", 1), weights.tail("cloud", 1),
        picture_codec("png"),
    )  # fmt: skip


def test_answers_of_the_network_count_as_right(paths: Paths) -> None:
    logits, sizes = paths.run(AnswerPath.CLOUD, FACES.pictures)
    assert sizes == [MAX_PAYLOAD_BYTES] * 40
    answers = logits.argmax(axis=1)
    wrong = (answers + (np.arange(40) < 10)) % 7
    result = measure(paths, (AnswerPath.CLOUD,), Faces(FACES.pictures, wrong, FACES.ids))
    assert result["cloud"]["accuracy"] == 0.75
    assert result["cloud"]["bytes_mean"] == MAX_PAYLOAD_BYTES


def test_a_lossless_picture_gives_the_clouds_logits(paths: Paths) -> None:
    cloud = paths.run(AnswerPath.CLOUD, FACES.pictures[:8])[0]
    image, sizes = paths.run(AnswerPath.IMAGE, FACES.pictures[:8])
    np.testing.assert_allclose(image, cloud, rtol=0, atol=1e-4)
    assert all(500 < size < 4000 for size in sizes)


def test_local_sends_nothing(paths: Paths) -> None:
    result = measure(paths, (AnswerPath.LOCAL,), FACES)
    assert set(result["local"]) == {"accuracy", "interval_95"}


def test_the_interval_of_a_share() -> None:
    assert _wilson(0, 10)[0] == 0
    low, high = _wilson(2270, 3589)
    assert low < 2270 / 3589 < high
    assert 0.03 < high - low < 0.033


@pytest.mark.parametrize("name", ["jpeg:75", "webp:1", "webp:lossless", "png"])
def test_picture_codecs(name: str) -> None:
    assert 50 < len(picture_codec(name)(FACES.pictures[0])) < 4000


@pytest.mark.parametrize("name", ["", "gif", "jpeg", "jpeg:0", "jpeg:101", "png:1", "jpeg:x"])
def test_other_picture_codecs_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="none of jpeg"):
        picture_codec(name)


def test_the_command_prints_json_and_needs_no_torch(weights_folder: Path, tmp_path: Path) -> None:
    write_zip(tmp_path / "small data.zip", members({"PublicTest": FACES}))
    code = (
        "import sys, runpy\n"
        "sys.modules['torch'] = None  # importing it fails\n"
        "runpy.run_module('benchmarks.accuracy', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--data", tmp_path / "small data.zip", "--json",
         "--weights", weights_folder, "--most", "8", "--threads", "1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["usage"] == "PublicTest"
    assert result["n"] == 8
    assert result["fingerprint"] == weights_folder.name
    assert set(result["paths"]) == {"cloud", "local", "image"}
    assert all(0 <= row["accuracy"] <= 1 for row in result["paths"].values())
    assert result["paths"]["image"]["picture_codec"] == "jpeg:75, 48x48 grey"
    assert "PublicTest, 8 faces" in table(result)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "none.zip"], 3, "no data set at none.zip"),
        (["--picture-codec", "gif"], 2, "none of jpeg"),
        (["--most", "0"], 2, "at least 1"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.accuracy", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
