from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.models import models, runtimes
from benchmarks.models.plot import draw, front
from benchmarks.models.subjects import Subject
from benchmarks.readme.models import plotted
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.runtime import Tail
from tests.unit.benchmarks.votes_file import write_votes
from tests.unit.training.faces import made_faces, members, write_zip
from training.export.compress import crops_of
from training.export.quantise import float16_weights
from training.export.whole_model import whole_model
from training.fit.shipped_network import shipped_network
from training.models.edgecnn import EdgeCNN

FACES = {"Training": made_faces(60), "PublicTest": made_faces(10, seed=1, first_id=60)}


def run(module: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    code: int = module.main()
    return code


def test_the_table_has_ours_beside_the_papers_and_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        Subject("EdgeCNN", {"FLOPs, M": "52.28"}, partial(EdgeCNN, 2), 1, 44, "edgecnn"),
        Subject("nobody's", {}, partial(EdgeCNN, 2), 1, 44),
        Subject("Pelee", {"FLOPs, M": "14.6"}),
    )
    monkeypatch.setitem(models.TABLES, "000.6", rows)
    assert run(models, monkeypatch, "--table", "000.6", "--runs", "2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    own, untrained, theirs = found["rows"]
    assert own["macs"] == 47_713_360
    assert own["cpu_ms"] > 0
    assert own["resident_bytes"] > own["resident_before_bytes"] > 0
    said = Weights(default_folder()).manifest.tails["edgecnn"].answers[LabelSet.CROWD]
    assert own["accuracy"]["crowd"] == said.accuracy["PublicTest"]
    assert untrained["accuracy"] == {}
    assert "parameters" not in theirs
    text = models.table(found)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["EdgeCNN"].endswith("52.28")
    assert lines["nobody's"].count("untrained") == 2
    assert lines["Pelee"].split()[1:] == ["-"] * 6 + ["14.6"]
    assert "Python" in text.splitlines()[-1]


def test_a_network_that_cannot_run_is_named_by_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match="not an ONNX model"):
        models.probe("onnxruntime", tmp_path / "broken.onnx", 1)


@pytest.mark.parametrize("name", ["backbone", "edgecnn"])
def test_a_shipped_model_in_torch_answers_as_its_file_does(name: str) -> None:
    import torch

    weights, pictures = Weights(default_folder()), FACES["PublicTest"].pictures
    network = shipped_network(weights, name, FACES["Training"].pictures)
    crops = crops_of(pictures)
    with torch.no_grad():
        found = network(torch.from_numpy(crops)).numpy()
    wanted = np.concatenate(
        list(Tail(whole_model(weights, name), 1).all_logits(crops).values()), axis=1
    )
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_runtimes_of_one_model_answer_alike_and_one_that_fails_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_zip(tmp_path / "fer2013.zip", members(FACES))
    write_votes(tmp_path / "votes.csv", FACES)

    def files(weights: Weights, name: str, _: object, __: object, folder: Path) -> object:
        data = whole_model(weights, name)
        made = {"float32": data, "float16 stored": float16_weights(data), "int8": b"broken"}
        for form, one in made.items():
            (folder / form).write_bytes(one)
        return {("onnxruntime", form): folder / form for form in made}

    monkeypatch.setattr(runtimes, "files_of", files)
    line = ["--model", "edgecnn", "--runs", "2", "--json", "--data", str(tmp_path / "fer2013.zip"),
            "--votes", str(tmp_path / "votes.csv")]  # fmt: skip
    assert run(runtimes, monkeypatch, *line) == 0
    found = json.loads(capsys.readouterr().out)
    full, half, broken = found["rows"]
    assert full["accuracy"]["fer2013"]["difference"]["difference"] == 0
    assert half["accuracy"]["fer2013"]["same_answers"] >= 0.9
    assert half["file_bytes"] < 0.6 * full["file_bytes"]
    assert "not an ONNX model" in broken["error"]
    text = runtimes.table(found)
    assert "failed: " in text
    assert "ONNX FP32: 5.21, 3480, 3.9" in text
    drawn = plotted(found)
    assert [row["form"] for row in drawn] == ["float32", "float16 stored"]
    draw(drawn, "crowd", tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 5000


def test_a_local_model_that_is_a_form_of_another_has_no_forms_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zip(tmp_path / "fer2013.zip", members(FACES))
    measured: list[str] = []
    monkeypatch.setattr(runtimes, "measure", lambda weights, name, *_: measured.append(name) or [])
    line = ["--json", "--data", str(tmp_path / "fer2013.zip")]
    assert run(runtimes, monkeypatch, *line) == 0
    assert measured == ["backbone", "edgecnn", "edgecnn-g", "light-fer"]


POINTS = st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 100)), min_size=1, max_size=12)


@given(POINTS)
def test_the_front_is_what_no_other_beats(points: list[tuple[float, float]]) -> None:
    kept = front(points)
    assert kept
    for index in kept:
        cost, right = points[index]
        assert not any(
            other_cost <= cost and other >= right and (other_cost, other) != (cost, right)
            for other_cost, other in points
        )
    for index in set(range(len(points))) - set(kept):
        cost, right = points[index]
        assert any(points[one][0] <= cost and points[one][1] >= right for one in kept)


def test_what_torch_compile_cannot_do_is_one_readable_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives the compiler's command paths without quotes: whose checkout has a space in its path
    was told that ld cannot find -ltorch."""
    spaced = tmp_path / "new comer"
    spaced.mkdir()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(spaced))
    file = tmp_path / "network.pt"
    torch.save((EdgeCNN(2).eval(), (1, 1, 44, 44), "float32"), file)
    with pytest.raises(RuntimeError, match=r"paths unquoted: no space may be in .*new comer"):
        models.probe("torch.compile", file, 1)
