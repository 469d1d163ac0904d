from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.training.faces import made_faces
from training.data.judged import Judged
from training.fit import member
from training.fit.member import member_recipe, train_member
from training.models.split_model import SplitConfig, SplitModel
from training.recipe import Recipe, Stage

FACES = Judged.by_fer2013(made_faces(64))


def test_a_member_may_begin_as_the_tail_of_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(member, "RUNS", tmp_path / "runs")
    models = {}
    for seed, cloud in enumerate(("lite", "shufflenet")):
        torch.manual_seed(seed)
        models[cloud] = SplitModel(SplitConfig(cloud=cloud))
        (tmp_path / "checkpoints" / cloud).mkdir(parents=True)
        torch.save({"model": models[cloud].state_dict()}, tmp_path / f"checkpoints/{cloud}/last.pt")
    whole = Recipe(stages=(Stage(size=224, epochs=1, lr_first=0.1, lr_last=0.1, parts=("cloud",)),))
    one = member_recipe(whole, seed=1, epochs=1)
    stage = replace(one.stages[0], size=64, lr_first=1e-9, lr_last=1e-9)
    recipe = replace(one, stages=(stage,), model=models["shufflenet"].config)
    made = train_member(
        "lite", recipe, FACES, {"holdout": FACES}, "shufflenet", tail_of="shufflenet"
    )

    assert (tmp_path / "runs/lite-shufflenet1/log.jsonl").exists()
    for name, parameter in made.named_parameters():
        of = models["shufflenet" if name.startswith("cloud_tail.") else "lite"]
        torch.testing.assert_close(parameter, of.get_parameter(name), msg=name)
