from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from splitfer.shared.labels import LabelSet
from tests.unit.training.faces import made_faces, members, write_zip
from training.data import judged
from training.data.datasets import DataError
from training.data.judged import Judged
from training.fit import train
from training.fit import trainer as trainer_module
from training.fit.losses import targets_of
from training.fit.rate_control import RateControl
from training.fit.trainer import Trainer
from training.models.split_model import SplitConfig
from training.recipe import Recipe, Stage

RECIPE = Recipe(
    stages=(
        Stage(32, 2, 1e-3, 5e-4, ("stem", "local"), batch=4, warm_up_steps=2, bf16=False),
        Stage(
            32,
            2,
            5e-4,
            1e-4,
            ("stem", "encoder", "local", "cloud"),
            batch=4,
            bf16=False,
            start_cloud=True,
            refit_statistics=True,
            latent_bytes=(40.0, 20.0, 10.0),
        ),
    ),
    mutual=0.5,
    average=0.9,
)
FACES = Judged.by_fer2013(
    made_faces(14), RECIPE.label_smoothing
)  # three steps an epoch, and a rest that is left out
STEPS = 4 * 3


class Killed(BaseException):
    """Stands for a signal: nothing in the trainer may catch it."""


def trainer(folder: Path) -> Trainer:
    return Trainer(RECIPE, folder / "run", folder / "checkpoints", torch.device("cpu"))


def fit(one: Trainer) -> dict[str, torch.Tensor]:
    one.fit(FACES, {"holdout": Judged.by_fer2013(made_faces(10, 1))})
    return {name: tensor.clone() for name, tensor in one.model.state_dict().items()}


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    torch.save(fit(trainer(folder)), folder / "final.pt")
    return folder


def fit_until_killed(one: Trainer, steps: int) -> None:
    """It writes a checkpoint after the last of its ``steps``, and is killed in the next."""
    step, done = one._one_step, 0

    with pytest.MonkeyPatch.context() as patch:

        def until_killed(*arguments: Any) -> float:
            nonlocal done
            if done == steps:
                raise Killed
            done += 1
            if done == steps:
                patch.setattr(trainer_module, "CHECKPOINT_S", -1.0)
            return step(*arguments)

        patch.setattr(one, "_one_step", until_killed)
        with pytest.raises(Killed):
            fit(one)


# After 3, 6 and 9 steps an epoch ends, after 6 the stage; 0 dies before the first checkpoint.
@pytest.mark.parametrize("steps", [0, 2, 6, STEPS - 2])
def test_a_killed_run_ends_as_if_it_had_not_been(
    uninterrupted: Path, tmp_path: Path, steps: int
) -> None:
    fit_until_killed(trainer(tmp_path), steps)

    torch.manual_seed(12345)  # the second process starts with another state
    torch.rand(7)
    second = trainer(tmp_path)
    assert second.resume() == (steps > 0)
    torch.rand(3)
    final = fit(second)
    expected = torch.load(uninterrupted / "final.pt")
    assert final.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(final[name], tensor), name

    kept = ("stage", "epoch", "size", "loss", "lr", "holdout")
    got = [{key: row[key] for key in kept} for row in rows(tmp_path)]
    assert got == [{key: row[key] for key in kept} for row in rows(uninterrupted)]


class ByBrightness(torch.nn.Module):
    """A teacher whose answer to a view follows from its brightness."""

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return torch.outer(views.mean(dim=(1, 2, 3)) / 255, torch.arange(7.0))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints of which teachers were loaded."""
    paths: list[Path] = []

    def load(checkpoints: Sequence[Path], device: torch.device) -> torch.nn.Module:
        paths.extend(checkpoints)
        return ByBrightness()

    monkeypatch.setattr(trainer_module, "mean_teacher", load)
    return paths


def test_mixed_pairs_and_a_teachers_answers_are_the_same_after_a_kill(
    tmp_path: Path, asked: list[Path]
) -> None:
    recipe = replace(RECIPE, teacher="larger", teacher_share=0.75, mixup=0.4)

    def one(name: str) -> Trainer:
        return Trainer(recipe, tmp_path / f"{name}-log", tmp_path / name, torch.device("cpu"))

    expected = fit(one("whole"))
    assert asked == [tmp_path / "larger/last.pt"]
    fit_until_killed(one("killed"), 8)
    second = one("killed")
    assert second.resume()
    final = fit(second)
    for name, tensor in expected.items():
        assert torch.equal(final[name], tensor), name
    untaught = fit(
        Trainer(
            replace(recipe, teacher=""), tmp_path / "u-log", tmp_path / "u", torch.device("cpu")
        )
    )
    assert any(not torch.equal(final[name], tensor) for name, tensor in untaught.items())


@pytest.mark.usefixtures("asked")
def test_a_target_is_the_smoothed_label_and_the_teachers_answer_to_the_view(tmp_path: Path) -> None:
    learnt = Judged.by_fer2013(FACES.faces, 0.07)
    labels = torch.from_numpy(learnt.faces.labels)
    views = torch.rand(len(labels), 1, 32, 32) * 255

    def targets(share: float) -> torch.Tensor:
        recipe = replace(RECIPE, teacher="larger", teacher_share=share)
        one = Trainer(recipe, tmp_path / "r", tmp_path / f"c{share}", torch.device("cpu"))
        return one._taught(views, targets_of(learnt, recipe.model.label_sets))

    alone, taught, both = targets(0.0), targets(1.0), targets(0.5)
    assert alone.gather(1, labels[:, None]) == pytest.approx(0.94)
    assert taught == pytest.approx(ByBrightness()(views).softmax(dim=1))
    for some in (alone, taught, both):
        assert some.sum(dim=1) == pytest.approx(1.0)
    assert both == pytest.approx((alone + taught) / 2)
    loss = torch.nn.functional.cross_entropy
    smoothed = loss(taught.log(), labels, label_smoothing=0.07)
    assert float(loss(taught.log(), alone)) == pytest.approx(float(smoothed))


def test_a_run_with_both_label_sets_trains_and_reports_both(tmp_path: Path) -> None:
    targets, labels = FACES.targets[LabelSet.FER2013], FACES.faces.labels
    both = Judged(
        FACES.faces,
        {LabelSet.CROWD: targets, LabelSet.FER2013: targets},
        {LabelSet.CROWD: np.where(labels == 3, -1, 4), LabelSet.FER2013: labels},
    )
    stage = Stage(
        56,
        1,
        1e-3,
        1e-3,
        ("stem", "encoder", "local", "cloud"),
        batch=4,
        bf16=False,
        degraded=0.5,
        latent_bytes=(40.0, 20.0, 10.0),
    )
    model = SplitConfig(
        label_sets=("crowd", "fer2013"), stem="small", cloud="residual", modules="none"
    )
    recipe = Recipe((stage,), model=model, mutual=0.5)
    one = Trainer(recipe, tmp_path / "run", tmp_path / "c", torch.device("cpu"))
    with pytest.raises(ValueError, match="crowd"):
        one.fit(FACES, {})
    one.fit(both, {"holdout": both})
    expected = {"local_crowd", "local_fer2013", "cloud_crowd", "cloud_fer2013"}
    assert set(rows(tmp_path)[0]["holdout"]) == expected  # type: ignore[call-overload]


def test_a_tail_that_learns_together_with_the_local_one_leaves_it_as_it_is(tmp_path: Path) -> None:
    stage = Stage(32, 1, 1e-3, 1e-3, ("cloud",), batch=4, bf16=False, together=0.7)
    one = Trainer(Recipe((stage,)), tmp_path / "r", tmp_path / "c", torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    after = fit(one)
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"cloud_tail"}


def test_the_log_has_a_row_per_epoch(uninterrupted: Path) -> None:
    logged = rows(uninterrupted)
    assert [(row["stage"], row["epoch"]) for row in logged] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert set(logged[0]["holdout"]) == {"local"}  # type: ignore[call-overload]
    assert set(logged[3]["holdout"]) == {"local", "cloud"}  # type: ignore[call-overload]


def test_a_finished_run_does_nothing_more(uninterrupted: Path) -> None:
    again = trainer(uninterrupted)
    assert again.resume()
    before = len(rows(uninterrupted))
    final = fit(again)
    assert len(rows(uninterrupted)) == before
    expected = torch.load(uninterrupted / "final.pt")
    assert all(torch.equal(final[name], expected[name]) for name in expected)


def test_parts_that_a_stage_does_not_name_stand_still(tmp_path: Path) -> None:
    frozen = Stage(32, 1, 1e-3, 1e-3, ("encoder", "cloud"), batch=4, bf16=True)
    one = Trainer(Recipe((frozen,)), tmp_path / "r", tmp_path / "c", torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    after = fit(one)
    for name in before:
        still = name.startswith(("head.stem", "local_tail"))
        if still:
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["head.encoder.conv.weight"], after["head.encoder.conv.weight"])
    trunk = "cloud_tail.trunk.classifier.weight"
    assert not torch.equal(before[trunk], after[trunk])


def test_the_rate_term_moves_until_a_latent_costs_what_it_may() -> None:
    control = RateControl()
    first = control.weight(0)
    for _ in range(50):
        control.saw(0, 200.0, 100.0)
    assert control.weight(0) > 2 * first
    assert control.recent_bytes[0] == pytest.approx(200.0)
    assert control.weight(1) == RateControl().weight(1)
    for _ in range(200):
        control.saw(0, 50.0, 100.0)
    assert control.weight(0) < first


def test_a_run_starts_from_the_averaged_backbone_of_another(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    fit(one)
    (tmp_path / "checkpoints").rename(tmp_path / "first")
    recipe = Recipe(RECIPE.stages, start_from="first")
    other = Trainer(recipe, tmp_path / "r", tmp_path / "second", torch.device("cpu"))
    weights = one.average.weights
    for name, tensor in other.model.state_dict().items():
        if name.startswith(("head.stem.", "local_tail.")):
            assert torch.equal(tensor, weights[name]), name
    name = "local_tail.classifier.weight"
    assert not torch.equal(weights[name], one.model.state_dict()[name])
    with pytest.raises(ValueError, match="train that run first"):
        Trainer(replace(recipe, start_from="x"), tmp_path, tmp_path / "y", torch.device("cpu"))


def test_a_kill_while_writing_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(tmp_path)
    one.step = 3
    one.save()
    one.step = 4

    def half_written(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half_written)
        with pytest.raises(Killed):
            one.save()
    other = trainer(tmp_path)
    assert other.resume()
    assert other.step == 3


def test_the_checkpoint_names_its_place(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    one.save()
    state = torch.load(one.checkpoint)
    assert set(state) == {
        "stage", "epoch", "step", "loss_sum", "seconds", "model", "optimiser",
        "average", "rates", "settings",
    }  # fmt: skip


def test_a_run_does_not_go_on_with_other_faces(uninterrupted: Path) -> None:
    again = trainer(uninterrupted)
    assert again.resume()
    with pytest.raises(DataError, match=r"made of other faces.*another --run, or remove"):
        again.fit(Judged.by_fer2013(made_faces(len(FACES), 5)), {})


def test_a_finished_run_is_not_taken_for_one_of_another_recipe(
    uninterrupted: Path, tmp_path: Path
) -> None:
    def with_recipe(recipe: Recipe) -> Trainer:
        return Trainer(recipe, tmp_path, uninterrupted / "checkpoints", torch.device("cpu"))

    first, *rest = RECIPE.stages
    longer = replace(RECIPE, stages=(replace(first, epochs=first.epochs + 1), *rest))
    with pytest.raises(ValueError, match=r"finished with stage 1 epochs 2 \(now 3\): give another"):
        with_recipe(longer).resume()
    with pytest.raises(ValueError, match=r"finished with stage 2 size \d+ \(now none\)"):
        with_recipe(replace(RECIPE, stages=(first,))).resume()


def test_a_recipe_that_changed_on_the_way_is_said_and_another_network_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(tmp_path).save()
    changed = replace(RECIPE, weight_decay=0.5)
    again = Trainer(changed, tmp_path / "run", tmp_path / "checkpoints", torch.device("cpu"))
    assert again.resume()
    assert "begun with weight_decay 0.05 (now 0.5)" in capsys.readouterr().err
    other = replace(RECIPE, model=replace(RECIPE.model, modules="none"))
    unlike = Trainer(other, tmp_path / "run", tmp_path / "checkpoints", torch.device("cpu"))
    with pytest.raises(ValueError, match="begun with model modules"):
        unlike.resume()


def test_faces_that_fill_no_batch_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 faces to learn from are less than a batch of"):
        trainer(tmp_path).fit(Judged.by_fer2013(made_faces(3)), {})


def test_a_recipe_is_made_to_fit_and_learns_nothing_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "step_seconds", lambda step: step() and 10.0)
    one = trainer(tmp_path)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    # 3 steps of 10 s an epoch, two stages of two epochs: 2.3 minutes with what is beside them.
    one.fit_into(1.2, FACES)
    assert [stage.epochs for stage in one.recipe.stages] == [1, 1]
    assert all(torch.equal(before[name], now) for name, now in one.model.state_dict().items())
    one.save()
    again = trainer(tmp_path)
    assert again.resume()
    assert again.recipe == one.recipe


def test_the_command_trains_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_zip(Path("d.zip"), members({"Training": made_faces(8), "PublicTest": made_faces(4, 1)}))
    recipe = Path("training/runs/small/recipe.toml")  # a run's own copy is a recipe too
    recipe.parent.mkdir(parents=True)
    recipe.write_text(
        "[[stage]]\nbatch = 4\nsize = 32\nepochs = 1\nlr_first = 0.001\nlr_last = 0.001\n"
        'bf16 = false\nparts = ["stem", "local"]\n'
    )
    command = ["train", "--recipe", str(recipe), "--run", "small", "--threads", "1"]
    monkeypatch.setattr(judged, "HOLDOUT_SHARE", 0.3)
    monkeypatch.setattr("sys.argv", [*command, "--data", "d.zip"])
    assert train.main() == 0
    assert train.main() == 0
    logged = [json.loads(line) for line in (recipe.parent / "log.jsonl").read_text().splitlines()]
    assert [row.get("resumed") for row in logged] == [False, None, True]

    monkeypatch.setattr("sys.argv", [*command, "--data", "none.zip"])
    assert train.main() == 3
    assert "train: no data set at none.zip" in capsys.readouterr().err
    recipe.write_text("colour = 1")
    with pytest.raises(SystemExit, match="2"):
        train.main()
    assert "the key 'stage' is missing" in capsys.readouterr().err.splitlines()[-1]
