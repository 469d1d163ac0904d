from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from splitfer.edge_client import cli
from splitfer.edge_client.commands import bench
from splitfer.edge_client.commands.bench import (
    Measured,
    as_yaml,
    best_threads,
    measurements,
    quicker_model,
    recommended,
)
from splitfer.edge_client.config import EdgeConfig, load_config
from splitfer.edge_client.settings.state_folder import state_folder
from splitfer.edge_client.updates.weights_store import WeightsStore
from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL, TailEntry

FETCHED = default_folder().parent / "18f22bc9477744ef"


def measured(threads: int, side_px: int, total_ms: float, face_ms: float = 10.0) -> Measured:
    return Measured(threads, side_px, total_ms / 2, face_ms / 2, face_ms / 2, total_ms, 3)


def test_more_threads_must_be_worth_it() -> None:
    found = [measured(1, 480, 50, 10.0), measured(2, 480, 48, 9.5), measured(4, 480, 60, 14.0)]
    assert best_threads(found) == 1
    assert best_threads([measured(1, 480, 50, 20.0), measured(2, 480, 40, 11.0)]) == 2


@pytest.mark.parametrize(
    ("frame_ms", "side_px", "deadline_ms"), [(100, 640, 120), (1000, 960, 300), (5, 320, 50)]
)
def test_the_finest_search_that_keeps_up(frame_ms: float, side_px: int, deadline_ms: float) -> None:
    found = [
        measured(1, 480, 50),
        measured(2, 480, 45),
        measured(1, 320, 20),
        measured(1, 640, 80),
        measured(1, 960, 200),
    ]
    assert recommended(found, frame_ms) == {
        "threads": 1,
        "search_side_px": side_px,
        "deadline_ms": deadline_ms,
    }


def test_every_size_is_tried_with_the_best_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    tried = []

    def one(_: EdgeConfig, threads: int, side_px: int) -> Measured:
        tried.append((threads, side_px))
        return measured(threads, side_px, 50, 20 / threads)

    list(measurements(load_config(None, {}), one))
    assert tried == [(1, 480), (2, 480), (4, 480), (4, 320), (4, 640), (4, 960)]


def model(name: str, face_ms: float) -> Measured:
    return replace(measured(1, 480, 50, face_ms), local_model=name)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([("int8", 6.0), ("small", 7.0)], "int8"),
        ([("int8", 9.5)], None),  # not worth it
        ([("int8", 14.0)], None),  # slower here
        ([], None),
    ],
)
def test_another_model_is_chosen_where_it_is_quicker(
    others: list[tuple[str, float]], chosen: str | None
) -> None:
    found = [measured(1, 480, 50, 10.0), measured(1, 960, 200, 10.0)]
    found += [model(name, face_ms) for name, face_ms in others]
    assert quicker_model(found) == chosen
    assert recommended(found, 100).get("local_model") == chosen


def test_another_model_is_left_out_where_it_gives_other_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    def one(config: EdgeConfig, threads: int, side_px: int) -> Measured:
        if config.local_model == "broken":
            raise WeightsError("wrong logits here")
        return model(config.local_model, 10.0)

    found = list(measurements(load_config(None, {}), one, ["broken", "int8"]))
    assert [one.local_model for one in found][-2:] == ["backbone", "int8"]


def test_only_models_that_are_right_as_often_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = Weights(default_folder())
    own = weights.manifest.tails[LOCAL_TAIL]
    (label_set,) = {weights.label_set(None)}
    share = own.answers[label_set].accuracy["PublicTest"]

    def tail(less: float) -> TailEntry:
        found = own.answers[label_set].model_copy(update={"accuracy": {"PublicTest": share - less}})
        return own.model_copy(update={"answers": {label_set: found}})

    tails = {LOCAL_TAIL: own, "int8": tail(0.004), "small": tail(0.006)}
    changed = weights.manifest.model_copy(update={"tails": tails})
    monkeypatch.setattr(weights, "manifest", changed)
    monkeypatch.setattr(bench, "Weights", lambda folder: weights)
    assert bench.models_as_good(load_config(None, {})) == ("int8",)


def test_of_the_shipped_weights_the_backbone_in_int8_is_tried() -> None:
    assert bench.models_as_good(load_config(None, {})) == ("backbone-int8",)


def test_it_writes_a_config_file_and_replaces_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    file = tmp_path / "bench.yaml"
    assert cli.main(["bench", "--frames", "2", "--write", str(file)]) == 0
    config = load_config(file, {})
    assert config.threads == 1
    assert config.deadline_ms >= 50
    assert str(config.search_side_px) in capsys.readouterr().out
    before = file.read_text()
    for taken in (file, tmp_path, tmp_path / "none" / "bench.yaml"):
        assert cli.main(["bench", "--frames", "1", "--write", str(taken)]) == 2
        said = capsys.readouterr()
        assert "--write" in said.err
        assert said.out == ""  # said before minutes are spent on it
    assert file.read_text() == before
    assert as_yaml({"threads": 2}, []).endswith("threads: 2\n")


def test_it_measures_the_weights_that_a_run_would_have_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were fetched may lack the models of the installed ones."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store = WeightsStore(state_folder() / "weights")
    shutil.copytree(FETCHED, store.root / "fetched")
    store.take("fetched", 1)
    used = []

    def measure(config: EdgeConfig, *_: object) -> Measured:
        used.append((config.weights, config.local_model))
        return model(config.local_model, 10.0)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(bench, "measure", measure)
    variables = {"WEIGHTS_KEY": str(tmp_path / "publisher.pub"), "SERVER": "localhost:1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SPLITFER_EDGE_{name}", value)
    assert cli.main(["bench", "--frames", "1"]) == 0
    assert set(used) == {(store.root / "fetched", "backbone")}
