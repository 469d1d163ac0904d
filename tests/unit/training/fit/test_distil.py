from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.training.faces import made_faces
from training.data.judged import Judged
from training.fit import distil, member
from training.fit.member import member_recipe
from training.models.split_model import SplitConfig, SplitModel
from training.recipe import Recipe, Stage

FACES = Judged.by_fer2013(made_faces(64))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs and checkpoints of a test's own."""
    for module in (distil, member):
        monkeypatch.setattr(module, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(distil, "RUNS", tmp_path / "runs")
    return tmp_path / "checkpoints"


def test_both_tails_go_on_and_the_head_stands_still(places: Path) -> None:
    torch.manual_seed(0)
    before = SplitModel(SplitConfig(cloud="lite"))
    (places / "first").mkdir(parents=True)
    torch.save({"model": before.state_dict()}, places / "first/last.pt")
    whole = Recipe(stages=(Stage(size=224, epochs=1, lr_first=0.1, lr_last=0.1, parts=("cloud",)),))
    one = member_recipe(whole, seed=0, epochs=1)
    recipe = replace(
        one,
        stages=(replace(one.stages[0], size=64, parts=distil.TAILS),),
        model=before.config,
        start_from="first",
        teacher="first",
    )
    after = distil.distil("second", recipe, FACES, {"holdout": FACES})

    old, new = before.state_dict(), after.state_dict()
    moved = {name for name, tensor in new.items() if not torch.equal(tensor, old[name])}
    assert {name.split(".")[0] for name in moved} == {"local_tail", "cloud_tail"}
    again = distil.distil("second", recipe, FACES, {"holdout": FACES}).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in new.items())
