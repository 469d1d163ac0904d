from __future__ import annotations

import numpy as np
import torch

from tests.unit.training.faces import made_faces
from training.data.augment import enlarge
from training.fit.start_cloud import start_cloud
from training.models.bottleneck import LATENT_CHANNELS
from training.models.split_model import SplitModel


def test_the_bottleneck_is_that_of_the_principal_components() -> None:
    torch.manual_seed(0)
    model = SplitModel()
    crops = enlarge(torch.from_numpy(made_faces(12).pictures), 64)
    start_cloud(model, crops)
    model.eval()
    with torch.no_grad():
        features = model.head.features(crops)
        z = model.head.encoder(features)
        rebuilt = model.cloud_tail.decoder(z)

    flat = features.permute(0, 2, 3, 1).reshape(-1, 116).double().numpy()
    centred = flat - flat.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    by_pca = float((singular[LATENT_CHANNELS:] ** 2).sum())
    by_bottleneck = float((rebuilt - features).double().square().sum())
    assert abs(by_bottleneck - by_pca) <= 1e-4 * by_pca

    # One step for all components, so that the coder spends bits where the variance is.
    spread = z.std(dim=(0, 2, 3))
    assert 0.6 < spread.square().mean().sqrt().item() < 0.8
    assert spread.max() > 1.5 * spread.min()


def test_the_trunk_is_a_copy_of_the_local_tail() -> None:
    torch.manual_seed(0)
    model = SplitModel()
    start_cloud(model, enlarge(torch.from_numpy(made_faces(4).pictures), 32))
    copied = model.cloud_tail.trunk.state_dict()
    for name, tensor in model.local_tail.state_dict().items():
        assert torch.equal(tensor, copied[name])
        assert tensor.data_ptr() != copied[name].data_ptr()
