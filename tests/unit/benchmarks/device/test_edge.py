from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.device import edge
from benchmarks.device.edge import attention_share, run_rounds, spread, table
from benchmarks.device.face_frame import face_frame
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey


def test_every_round_runs_each_stage_once_and_warm_up_is_not_kept() -> None:
    calls: list[str] = []
    stages = {name: (lambda name=name: calls.append(name)) for name in "abc"}  # type: ignore[misc]
    times = run_rounds(stages, rounds=4, warm_up=2)
    rounds = [sorted(calls[i : i + 3]) for i in range(0, 18, 3)]
    assert rounds == [["a", "b", "c"]] * 6
    assert {len(kept) for kept in times.values()} == {4}
    orders = {tuple(calls[i : i + 3]) for i in range(0, 18, 3)}
    assert len(orders) > 1


def test_spread() -> None:
    assert spread([float(i) for i in range(101)]) == {"p50_ms": 50, "p95_ms": 95, "p5_ms": 5}


def test_the_share_of_attention() -> None:
    share = attention_share([4.0, 4.0, 8.0], [3.0, 3.0, 6.0])
    assert share["share"] == 0.25
    assert share["by_round_p25"] == share["by_round_p75"] == 0.25


def test_the_frame_has_a_face() -> None:
    rgb, what = face_frame()
    assert rgb.shape == (480, 640, 3)
    assert what.startswith("640x480")
    assert DlibDetector(SearchLimits(640, 40, 32)).detect(to_grey(rgb))


def test_the_command_without_torch(weights_folder: Path) -> None:
    code = (
        "import sys, runpy\n"
        "sys.modules['torch'] = None\n"
        "runpy.run_module('benchmarks.device.edge', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--weights", weights_folder, "--rounds", "2",
         "--warm-up", "0", "--without-torch", "--json"],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    names = {"detect", "head", "encode", "local_tail", "full_model"}
    assert names <= set(result["stages"])
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in result["stages"].values())
    assert result["attention"] is None
    assert result["note"]
    assert "full model" in table(result)


def test_torch_and_attention_stand_next_to_it(
    weights_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The exporter takes long and is measured elsewhere: the fixture's tail stands for both.
    from training.export import onnx as onnx_models

    tail = (weights_folder / "cloud.onnx").read_bytes()
    monkeypatch.setattr(onnx_models, "export_cloud_tail", lambda *_: tail)
    arguments = ["edge", "--weights", str(weights_folder), "--rounds", "2", "--warm-up", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert edge.main() == 0
    out = capsys.readouterr().out
    assert "ASP and SFP take" in out
    assert "torch" in out


def test_no_weights_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["edge", "--weights", str(tmp_path)])
    assert edge.main() == 4
    assert capsys.readouterr().err.startswith("benchmark: no weights in")
