"""The command line of the edge, as a user types it, and the two lines of Python."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.edge_client import ConfigError, ImageError, Recognizer, SourceError
from splitfer.shared.contracts import RECORD_VERSION, AnswerPath
from splitfer.shared.labels import LABELS
from splitfer.shared.prior import UNCERTAIN_BELOW
from tests.loaded import EDGE, run_loaded

WITHOUT_OURS = {k: v for k, v in os.environ.items() if not k.startswith("SPLITFER_")}
# What outlives a run is the test's.
WITHOUT_OURS["XDG_STATE_HOME"] = tempfile.mkdtemp()


def edge(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_loaded(EDGE, *arguments, environment=WITHOUT_OURS | variables, timeout_s=100)


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
        "source", "source_name", "device_id", "schema_version", "record", "time", "frame",
        "time_s", "face", "box", "label", "confidence", "probabilities", "path", "reason",
        "latency_ms", "sent_bytes", "rate", "model", "labels", "prior", "track", "smoothed",
        "quality", "uncertain",
    }  # fmt: skip
    assert (record["record"], record["schema_version"]) == ("face", RECORD_VERSION)
    assert record["device_id"] == socket.gethostname()
    assert datetime.fromisoformat(record["time"]).tzinfo is not None
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
    assert done.returncode == 1
    assert "bad.jpg" in done.stderr
    assert "1 left out, 1 answered" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1
    alone = edge("classify", str(bad), "--weights", str(weights_folder))
    assert (alone.returncode, alone.stdout) == (3, "")


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
        (["run", "--source", ""], 2, "--source: it is empty"),
        (["run", "--source", "0", "--source", "1"], 2, "--source stands twice"),
        (["run", "--source", "demo", "--output", "a", "--output", "b"], 2, "--output stands twice"),
        (["run", "--source", "demo", "--weights", ""], 2, "--weights: it is empty"),
        (["classify", ""], 3, "a source without a name"),
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


def test_a_limit_of_pictures_holds_for_files_too(portrait: Path, weights_folder: Path) -> None:
    weights = ("--weights", str(weights_folder))
    for command in (("classify", str(portrait)), ("run", "--source", str(portrait))):
        done = edge(*command, *weights, SPLITFER_EDGE_PICTURE_PIXELS="1000")
        assert done.returncode == 0, done.stderr
        assert "no face found" in done.stderr  # so small was it made


def test_source_and_output_from_a_file_beside_them(portrait: Path, weights_folder: Path) -> None:
    config = portrait.parent / "edge.yaml"
    config.write_text(f"source: {portrait.name}\noutput: answers.jsonl\n")
    done = edge("run", "--config", str(config), "--weights", str(weights_folder))
    assert done.returncode == 0, done.stderr
    (line,) = (portrait.parent / "answers.jsonl").read_text().splitlines()
    assert json.loads(line)["source"] == str(portrait)
    assert done.stdout == ""


def test_a_misspelt_variable_stops_it() -> None:
    done = edge("run", "--source", "demo", SPLITFER_EDGE_SEVER="127.0.0.1:1")
    assert done.returncode == 2
    assert "SPLITFER_EDGE_SEVER" in done.stderr


def test_file_then_environment_then_flags_and_secrets_stay_secret(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('server = "localhost:1"\ndeadline_ms = 111\nthreads = 3\ntoken = "sesame"\n')
    done = edge(
        "run",
        "--source",
        "demo",
        "--print-config",
        "--config",
        str(config),
        "--deadline-ms",
        "333",
        SPLITFER_EDGE_THREADS="2",
    )
    assert done.returncode == 0, done.stderr
    assert "deadline_ms: 333.0" in done.stdout
    assert "threads: 2" in done.stdout
    assert "server: localhost:1" in done.stdout
    assert "sesame" not in done.stdout


# -- pictures and sources as people have them --------------------------------------------------


def test_people_who_are_small_in_a_large_picture_are_found(
    astronaut: NDArray[np.uint8], tmp_path: Path
) -> None:
    wide = np.zeros((1200, 2000, 3), np.uint8)
    wide[300:600, 100:612] = wide[700:1000, 1400:1912] = astronaut[:300]
    Image.fromarray(wide).save(tmp_path / "group.png")
    options = (
        "classify",
        str(tmp_path / "group.png"),
    )
    assert len(edge(*options).stdout.splitlines()) == 2
    small = edge(*options, "--search-side", "480")
    assert (small.returncode, small.stdout) == (0, "")
    assert "searched at 480 px: --search-side" in small.stderr


def test_a_small_picture_is_enlarged_for_the_search(portrait: Path, tmp_path: Path) -> None:
    with Image.open(portrait) as image:
        image.resize((image.width // 2, image.height // 2)).save(tmp_path / "small.png")
    done = edge(
        "classify",
        str(tmp_path / "small.png"),
    )
    (line,) = done.stdout.splitlines()
    x, _, w, _ = json.loads(line)["box"]
    assert x < 111 < x + w


def test_ready_cut_faces_are_answered_as_they_are(portrait: Path, tmp_path: Path) -> None:
    with Image.open(portrait) as image:
        image.crop((170, 70, 280, 180)).convert("L").resize((48, 48)).save(tmp_path / "crop.png")
    done = edge(
        "classify",
        str(tmp_path / "crop.png"),
        "--crops",
    )
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["box"] == [0, 0, 48, 48]
    refused = edge("run", "--source", "demo", "--crops", "--policy", "image", "--server", "a:1")
    assert refused.returncode == 2
    assert "crops" in refused.stderr


def test_left_out_pictures_of_a_folder_are_counted_and_cost_the_exit_code(
    portrait: Path, tmp_path: Path
) -> None:
    folder, summary = tmp_path / "folder", tmp_path / "summary.json"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(portrait.read_bytes())
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = edge(
        "run",
        "--source",
        str(folder),
        "--summary",
        str(summary),
    )
    assert done.returncode == 1
    assert "1 pictures left out" in done.stderr
    assert json.loads(summary.read_text())["source"]["left_out"] == 1


def test_a_camera_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    with subprocess.Popen(
        [
            sys.executable, "-m", "splitfer.edge_client.cli", "run", "--source", "63",
            "--heartbeat-s", "0.1", "--output", str(out), "--purpose", "a test",
            "--source-name", "door", "--device-id", "hall-7",
        ],
        stderr=subprocess.PIPE, text=True, env=WITHOUT_OURS,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        watched, first = process.stderr.readline(), process.stderr.readline()
        try:
            while process.poll() is None and not (out.exists() and out.read_text()):
                threading.Event().wait(0.1)
        finally:
            process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "/dev/video63 is watched; purpose: a test" in watched
    assert first.count("/dev/video63") == 1
    assert "tried again" in first
    assert "Traceback" not in rest
    record = json.loads(out.read_text().splitlines()[0])
    assert (record["record"], record["state"]) == ("heartbeat", "no_picture")
    assert (record["source_name"], record["device_id"]) == ("door", "hall-7")
    audit = Path(WITHOUT_OURS["XDG_STATE_HOME"]) / "splitfer" / "audit.jsonl"
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [event["event"] for event in events[-2:]] == ["start", "stop"]
    assert (events[-2]["purpose"], events[-2]["kept_in"]) == ("a test", [str(out)])
    refused = edge("run", "--source", "63", "--no-wait-source", "--purpose", "a test")
    assert refused.returncode == 3


def test_a_camera_does_not_start_without_a_purpose() -> None:
    for source in ("63", "rtsp://127.0.0.1:9/door"):
        refused = edge("run", "--source", source)
        assert refused.returncode == 2
        assert refused.stderr.startswith("edge-client: purpose: say what this camera watches")


def test_aggregate_tells_counts_alone(tmp_path: Path) -> None:
    """By a clock that goes on by 0.1 s with every frame, so that nobody waits for an interval."""
    out = tmp_path / "answers.jsonl"
    code = (
        "import functools, itertools, sys\n"
        "from splitfer.edge_client.sinks import output_flags\n"
        "frames = itertools.count()\n"
        "output_flags.Aggregate = functools.partial(\n"
        "    output_flags.Aggregate, clock=lambda: next(frames) / 10\n"
        ")\n"
        "from splitfer.edge_client.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = ("run", "--source", "demo", "--privacy", "aggregate", "--output", str(out))
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        timeout=100,
        env=WITHOUT_OURS | {"SPLITFER_EDGE_AGGREGATE_EVERY_S": "10"},
    )
    assert done.returncode == 0, done.stderr
    (record,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert record["record"] == "aggregate"
    assert record["seconds"] == 10
    assert record["frames"] > record["frames_without_face"] > 0
    assert set(record["labels"]) <= set(LABELS)
    refused = edge(*command, "--annotate", str(tmp_path / "a.mp4"))
    assert refused.returncode == 2
    assert "--annotate: privacy aggregate keeps nothing but counts" in refused.stderr


@pytest.mark.parametrize("closed", ["0<&-", "2>&-", "0<&- 2>&-"])
def test_closed_streams_spoil_no_answer(portrait: Path, tmp_path: Path, closed: str) -> None:
    out = tmp_path / "answers.jsonl"
    script = (
        f"'{sys.executable}' -m splitfer.edge_client.cli classify "
        f"'{portrait}' '{tmp_path}/gone.jpg' {closed} >'{out}'"
    )
    assert subprocess.run(["sh", "-c", script], env=WITHOUT_OURS).returncode == 1
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["record"] == "face"


def test_answers_for_a_closed_standard_output_are_refused(portrait: Path) -> None:
    script = f"'{sys.executable}' -m splitfer.edge_client.cli classify '{portrait}' >&-"
    done = subprocess.run(["sh", "-c", script], env=WITHOUT_OURS, capture_output=True, text=True)
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


def test_no_home_is_needed(portrait: Path) -> None:
    homeless = {k: v for k, v in WITHOUT_OURS.items() if k != "HOME"}
    command = [
        sys.executable,
        "-m",
        "splitfer.edge_client.cli",
        "classify",
        str(portrait),
    ]
    for home in ({}, {"HOME": "/proc/nowhere"}):
        done = subprocess.run(command, env=homeless | home, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_help_loads_nothing_that_takes_long() -> None:
    code = (
        "import sys\nfrom splitfer.edge_client.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'av', 'grpc', 'onnxruntime', 'dlib', 'pydantic', 'PIL') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    "module",
    ["splitfer.edge_client.cli", "splitfer.cloud_server.cli", "benchmarks.accuracy.accuracy"],
)
def test_torch_is_not_loaded(module: str) -> None:
    imported = f"{module}, splitfer.cloud_server.server.server, splitfer.edge_client"
    code = f"import sys, {imported}; print('torch' in sys.modules)"
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
    assert by_path[0].probabilities[by_path[0].label] == by_path[0].confidence
    assert sum(by_path[0].probabilities.values()) == pytest.approx(1)
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
        with pytest.raises(ValueError, match="expected uint8"):
            recognizer.faces(np.zeros((10, 10, 2), np.uint8))
    with pytest.raises(ConfigError, match="host:port"):
        Recognizer("nonsense", weights=weights_folder)
