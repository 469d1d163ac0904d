from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.pipeline import Step, read_pipeline, run_pipeline

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
        "training.fit.train", "training.export.export", "training.export.add_tail",
    ]  # fmt: skip
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
