"""The command line of the edge, as a user types it, and the two lines of Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_client import Recognizer
from shared.contracts import Path as AnswerPath
from shared.errors import ConfigError, ImageError, SourceError
from shared.vision.quality import UNCERTAIN_BELOW

WITHOUT_OURS = {k: v for k, v in os.environ.items() if not k.startswith("SPLITFER_")}


def edge(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_client.cli", *arguments],
        capture_output=True, text=True, timeout=100, env=WITHOUT_OURS | variables,
    )  # fmt: skip


@pytest.fixture
def portrait(astronaut: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "a portrait.jpg"
    # Without the lower half: dlib just about sees a second face in the folds of the suit.
    Image.fromarray(astronaut[:300]).save(path)
    return path


def test_classify_prints_a_line_per_face(portrait: Path, weights_folder: Path) -> None:
    done = edge("classify", str(portrait), "--weights", str(weights_folder))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    record = json.loads(line)
    assert set(record) == {
        "source", "frame", "time_s", "face", "box", "label", "confidence", "probabilities",
        "path", "reason", "latency_ms", "sent_bytes", "rate", "model",
        "labels", "prior", "quality", "uncertain",
    }  # fmt: skip
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert record["label"] == max(record["probabilities"], key=record["probabilities"].get)
    assert (record["path"], record["reason"], record["sent_bytes"]) == ("local", None, 0)
    assert 0.8 < record["quality"] <= 1
    assert record["uncertain"] is (record["confidence"] < UNCERTAIN_BELOW)
    x, y, w, h = record["box"]
    assert x < 222 < x + w, "the astronaut's nose"
    assert y < 120 < y + h


def test_a_bad_picture_is_named_and_the_next_one_is_answered(
    portrait: Path, weights_folder: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(portrait.read_bytes()[:2000])
    done = edge("classify", str(bad), str(portrait), "--weights", str(weights_folder))
    assert done.returncode == 3
    assert "bad.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["run", "--source", "no-such-file.mp4"], 3, "no-such-file.mp4"),
        (["run", "--source", "demo", "--server", "nowhere"], 2, "server"),
        (["run", "--source", "demo", "--policy", "cloud"], 2, "--server"),
        (["run", "--source", "demo", "--deadline-ms", "-5"], 2, "deadline-ms"),
        (["run", "--source", "demo", "--weights", "no-such-folder"], 4, "no-such-folder"),
        (["run", "--source", "demo", "--rate", "tiny"], 2, "no 'tiny'; there are "),
        (["run", "--source", "demo", "--config", "no-such.yaml"], 2, "no-such.yaml"),
        (["run"], 2, "--source"),
        (["run", "--source", "demo", "--output", "no-such-folder/a.jsonl"], 2, "--output"),
    ],
)
def test_wrong_usage_is_one_line_with_its_own_code(
    arguments: list[str], code: int, named: str
) -> None:
    done = edge(*arguments)
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_stops_it() -> None:
    done = edge("run", "--source", "demo", SPLITFER_EDGE_SEVER="127.0.0.1:1")
    assert done.returncode == 2
    assert "SPLITFER_EDGE_SEVER" in done.stderr


def test_file_then_environment_then_flags_and_secrets_stay_secret(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('server = "a:1"\ndeadline_ms = 111\nthreads = 3\ntoken = "sesame"\n')
    done = edge(
        "run", "--source", "demo", "--print-config", "--config", str(config),
        "--deadline-ms", "333", SPLITFER_EDGE_THREADS="2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "deadline_ms: 333.0" in done.stdout
    assert "threads: 2" in done.stdout
    assert "server: a:1" in done.stdout
    assert "sesame" not in done.stdout


@pytest.mark.parametrize(
    "module", ["edge_client.cli", "cloud_server.cli", "benchmarks.accuracy.accuracy"]
)
def test_torch_is_not_loaded(module: str) -> None:
    code = f"import sys, {module}, cloud_server.server, edge_client; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


# -- from Python -------------------------------------------------------------------------------


def test_path_bytes_and_array_give_the_same_faces(portrait: Path, weights_folder: Path) -> None:
    array = np.asarray(Image.open(portrait).convert("RGB"))
    with Recognizer(weights=weights_folder) as recognizer:
        by_path, by_bytes, by_array = (
            recognizer.faces(image) for image in (str(portrait), portrait.read_bytes(), array)
        )
    assert len(by_path) == 1
    assert by_path[0].path is AnswerPath.LOCAL
    assert by_path[0].answer == by_bytes[0].answer == by_array[0].answer


def test_a_server_that_is_absent_is_a_link_that_is_down(
    portrait: Path, weights_folder: Path
) -> None:
    with Recognizer("127.0.0.1:9", weights=weights_folder) as recognizer:
        (face,) = recognizer.faces(portrait)
    assert (face.path, face.reason) == ("local", "link_down")


def test_many_threads_share_one(astronaut: NDArray[np.uint8], weights_folder: Path) -> None:
    answers = []
    with Recognizer(weights=weights_folder) as recognizer:

        def ask() -> None:
            answers.append(recognizer.faces(astronaut[:300])[0].answer)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1


def test_what_is_no_picture_is_refused_with_its_name(tmp_path: Path, weights_folder: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    with Recognizer(weights=weights_folder) as recognizer:
        with pytest.raises(ImageError, match=r"notes\.jpg"):
            recognizer.faces(text)
        with pytest.raises(SourceError, match=r"gone\.jpg"):
            recognizer.faces(tmp_path / "gone.jpg")
        with pytest.raises(ValueError, match="RGB uint8"):
            recognizer.faces(np.zeros((10, 10), np.uint8))
    with pytest.raises(ConfigError, match="host:port"):
        Recognizer("nonsense", weights=weights_folder)
