from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from splitfer.shared.weights import Weights
from tests.unit.training.faces import made_faces, members, write_zip
from training import pipeline
from training.export import onnx
from training.pipeline import Step, data_mark, read_pipeline, run_pipeline

PIPELINES = sorted(Path("training/pipelines").glob("*.toml"))


class Runner:
    """Stands for the commands: remembers them, and fails at one if told so."""

    def __init__(self, fails_at: str = "") -> None:
        self.ran: list[list[str]] = []
        self.fails_at = fails_at

    def __call__(self, words: list[str]) -> dict[str, Any]:
        if self.fails_at in words:
            raise KeyboardInterrupt
        self.ran.append(words)
        return {"folder": "weights/abc"} if words[0] == "training.export.export" else {}


def steps(recipe: str) -> list[Step]:
    return [
        Step("train", "training.fit.train", ("--recipe", recipe)),
        Step("export", "training.export.export", ()),
        Step("add", "training.export.add_tail", ("--weights", "{folder}")),
    ]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.name)
def test_the_pipelines_in_the_repository_name_recipes_that_are_there(path: Path) -> None:
    found = read_pipeline(path)
    for step in found:
        for word in step.arguments:
            if word.endswith(".toml"):
                assert Path(word).is_file(), word
    assert found


def test_steps_run_in_order_and_what_one_gives_reaches_the_next(tmp_path: Path) -> None:
    runner = Runner()
    run_pipeline(steps("r.toml"), tmp_path / "state.json", runner)
    assert [words[0] for words in runner.ran] == [
        "training.fit.train",
        "training.export.export",
        "training.export.add_tail",
    ]
    assert runner.ran[2] == ["training.export.add_tail", "--weights", "weights/abc"]


def test_finished_steps_are_not_run_again_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(steps("r.toml"), state, Runner(fails_at="training.export.add_tail"))
    second = Runner()
    run_pipeline(steps("r.toml"), state, second)
    assert second.ran == [["training.export.add_tail", "--weights", "weights/abc"]]
    third = Runner()
    run_pipeline(steps("r.toml"), state, third)
    assert third.ran == []


def test_a_changed_recipe_runs_its_step_and_all_after_it(tmp_path: Path) -> None:
    recipe, state = tmp_path / "r.toml", tmp_path / "state.json"
    recipe.write_text("epochs = 1")
    run_pipeline(steps(str(recipe)), state, Runner())
    recipe.write_text("epochs = 2")
    again = Runner()
    run_pipeline(steps(str(recipe)), state, again)
    assert len(again.ran) == 3


def test_other_data_run_every_step_again(tmp_path: Path) -> None:
    file, folder, state = tmp_path / "d.csv", tmp_path / "d", tmp_path / "state.json"
    folder.mkdir()
    for make in (
        lambda: file.write_text("one"),
        lambda: file.write_text("other"),
        lambda: (folder / "a.png").write_text("picture"),
    ):
        make()
        for wanted in (3, 0):
            runner = Runner()
            mark = data_mark(file, folder, None)
            run_pipeline(steps("r.toml"), state, runner, data=mark)
            assert len(runner.ran) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'step' is missing"),
        ('[[step]]\nname = "a"\nmodule = "os"\narguments = []', "no module of training"),
        ('[[step]]\nname = "a"\narguments = []', "'module' is missing"),
        ("[[step", r"a\.toml"),
    ],
)
def test_a_bad_pipeline_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_pipeline(tmp_path / "a.toml")


def test_an_argument_that_nothing_gave_is_named(tmp_path: Path) -> None:
    lonely = [Step("add", "training.export.add_tail", ("{folder}",))]
    with pytest.raises(ValueError, match=r"'add'.*folder"):
        run_pipeline(lonely, tmp_path / "state.json", Runner())


def test_steps_that_train_share_what_is_left_of_the_budget(tmp_path: Path) -> None:
    now = [0.0]

    def run(words: list[str]) -> dict[str, Any]:
        ran.append(words)
        now[0] += 600
        return {}

    several = [
        Step("first", "training.fit.train", (), share=1.0),
        Step("second", "training.fit.train", (), share=3.0),
        Step("export", "training.export.export", ()),
    ]
    ran: list[list[str]] = []
    run_pipeline(several, tmp_path / "state.json", run, budget_s=2400, clock=lambda: now[0])
    assert ran == [
        ["training.fit.train", "--minutes", "9.000"],
        ["training.fit.train", "--minutes", "27.000"],
        ["training.export.export"],
    ]


def test_a_tiny_pipeline_makes_weights_that_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run_here(words: list[str]) -> dict[str, Any]:  # a process each would import torch again
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", words)
            module: Any = importlib.import_module(words[0])
            assert module.main() == 0
        return {}

    def export(module: nn.Module, examples: dict[str, Tensor], outputs: Sequence[str]) -> bytes:
        exported.append(module)
        return export_one(module, examples, outputs)

    exported: list[nn.Module] = []
    export_one = onnx._export
    monkeypatch.setattr(onnx, "_export", export)
    monkeypatch.setattr(pipeline, "run_module", run_here)
    monkeypatch.chdir(tmp_path)
    write_zip(Path("d.zip"), members({"Training": made_faces(40), "PublicTest": made_faces(8, 1)}))
    Path("recipe.toml").write_text(
        '[model]\nstem = "small"\ncloud = "residual"\nmodules = "none"\n[[stage]]\nsize = 56\n'
        "epochs = 40\nbatch = 16\nlr_first = 0.001\nlr_last = 0.0001\nbf16 = false\n"
        'latent_bytes = [540.0, 385.0, 238.0]\nparts = ["stem", "encoder", "local", "cloud"]\n'
    )
    Path("tiny.toml").write_text(
        '[[step]]\nname = "learn"\nmodule = "training.fit.train"\nshare = 1\n'
        'arguments = ["--recipe", "recipe.toml", "--run", "tiny", "--threads", "1"]\n'
        '[[step]]\nname = "export"\nmodule = "training.export.export"\n'
        'arguments = ["--run", "tiny", "--weights", "out"]\n'
    )
    words = ["run", "tiny.toml", "--data", "d.zip", "--device", "cpu", "--budget", "1s"]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setenv("SPLITFER_TRAINING_DEVICE", "")
    monkeypatch.setenv("SPLITFER_DATA", "")
    assert pipeline.main() == 0
    (folder,) = Path("out").iterdir()
    assert set(Weights(folder).manifest.tails) == {"local", "cloud"}
    log = Path("training/runs/tiny/log.jsonl").read_text().splitlines()
    assert json.loads(log[0])["epochs"] == [1]
    assert len(exported) == 3, "each network takes seconds: once is enough"
    capfd.readouterr()
    assert pipeline.main() == 0
    assert capfd.readouterr().out.count("finished before") == 2


@pytest.mark.parametrize("text", ["25", "m", "-3m", "infm", "3d"])
def test_a_budget_that_is_no_time_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run", "crowd", f"--budget={text}"])
    with pytest.raises(SystemExit, match="2"):
        pipeline.main()
    assert "a number and s, m or h" in capsys.readouterr().err
