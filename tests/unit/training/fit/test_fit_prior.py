from __future__ import annotations

import pytest
import torch

from tests.unit.training.faces import made_faces
from training.fit import fit_prior as module
from training.fit.fit_prior import fit_prior
from training.models.split_model import SplitModel

FACES = made_faces(8)


def test_the_prior_learns_what_latents_cost_and_nothing_else_moves(
    split_model: SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SplitModel(split_model.config)
    model.load_state_dict(split_model.state_dict())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    monkeypatch.setattr(module, "_STEPS", 1)
    untrained = fit_prior(model, FACES)
    monkeypatch.setattr(module, "_STEPS", 40)
    trained = fit_prior(model, FACES)
    assert all(after < 0.8 * first for after, first in zip(trained, untrained, strict=True))
    moved = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert moved
    assert all(name.startswith("prior.") for name in moved)
