"""Weights that the real exporter writes, of networks that learnt nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from splitfer.shared.codec.entropy import EntropyTables
from splitfer.shared.vision.crop import enlarge_crop
from tests.manifests import edit_manifest
from tests.once import made_once
from training.models.split_model import SplitConfig, SplitModel

# The networks here are small; threads that wait for each other only slow a busy machine down.
torch.set_num_threads(1)

OTHER_FINGERPRINT, CODED_FINGERPRINT = "0123456789abcdef", "fedcba9876543210"
# How common the classes were in the training of ``crowd_weights_folder``.
CROWD_PRIORS = {
    "crowd": [0.1, 0.01, 0.04, 0.3, 0.35, 0.1, 0.1],
    "fer2013": [0.14, 0.02, 0.14, 0.25, 0.17, 0.17, 0.11],
}


@pytest.fixture(scope="session")
def split_model() -> SplitModel:
    """An untrained model whose batch statistics and latents have a sane range."""
    from training.fit.start_cloud import start_cloud

    torch.manual_seed(0)
    model = SplitModel()
    rng = np.random.default_rng(0)
    crops = np.stack([enlarge_crop(p) for p in rng.integers(0, 256, (8, 48, 48), dtype=np.uint8)])
    pictures = torch.from_numpy(crops)[:, None].float()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for _ in range(2):  # the second time with the bottleneck and trunk that start_cloud made
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None
            model.train()
            model(pictures)
            start_cloud(model, pictures[:4])
    return model.eval()


@pytest.fixture(scope="session")
def weights_folder(split_model: SplitModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights as ``training.export`` writes it; read only, it is shared."""
    return _exported_once(tmp_path_factory, "weights", split_model, None)


@pytest.fixture(scope="session")
def crowd_model(split_model: SplitModel) -> SplitModel:
    """``split_model`` with tails of both label sets: ``fer2013`` answers as before, ``crowd``
    otherwise."""
    model = SplitModel(SplitConfig(label_sets=("crowd", "fer2013"))).eval()
    state = dict(split_model.state_dict())
    for name in ("local_tail.classifier", "cloud_tail.trunk.classifier"):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        state[f"{name}.weight"] = torch.cat((weight.roll(1, 0), weight))
        state[f"{name}.bias"] = torch.cat((bias.roll(1, 0) + 0.1 * torch.arange(7), bias))
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="session")
def crowd_weights_folder(
    crowd_model: SplitModel, weights_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """``weights_folder`` with tails of both label sets, behind the same head, so that their
    fingerprint is the same; they say how common the classes were in training."""

    def calibrated(manifest: dict[str, Any]) -> None:
        manifest["priors"] = CROWD_PRIORS
        for tail in manifest["tails"].values():
            tail["answers"] = {"crowd": {"temperature": 0.5}, "fer2013": {"temperature": 1.0}}

    head = weights_folder / "head.onnx"
    return _exported_once(tmp_path_factory, "crowd", crowd_model, head, calibrated)


@pytest.fixture(scope="session")
def other_weights_folder(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights under another fingerprint."""
    folder = tmp_path_factory.mktemp("other") / OTHER_FINGERPRINT
    return _copied(weights_folder, folder, {})


@pytest.fixture(scope="session")
def entropy_tables() -> EntropyTables:
    """Tables for noise of three widths, one a rate of ``split_model``."""
    from training.export.entropy import fit_tables

    rng = np.random.default_rng(0)
    noise = [rng.laplace(0, width, (6, 8, 28, 28)) for width in (0.6, 0.4, 0.25)]
    return fit_tables([(128 + np.rint(z).clip(-15, 15)).astype(np.uint8) for z in noise], 15)


@pytest.fixture(scope="session")
def coded_weights_folder(
    weights_folder: Path, entropy_tables: EntropyTables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same weights with the tables of an entropy code, and so under another fingerprint."""
    folder, data = tmp_path_factory.mktemp("coded") / CODED_FINGERPRINT, entropy_tables.to_bytes()
    entry = {"file": "entropy.bin", "sha256": hashlib.sha256(data).hexdigest()}
    _copied(weights_folder, folder, {"entropy": entry})
    (folder / "entropy.bin").write_bytes(data)
    return folder


def _exported_once(
    factory: pytest.TempPathFactory,
    name: str,
    model: SplitModel,
    head: Path | None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """The folder that the exporter writes of ``model``, which takes it some seven seconds; ``head``
    is the model's where that was exported before."""

    def export(draft: Path) -> None:
        folder = _export(model, head, draft)
        if edit is not None:
            edit_manifest(folder, edit)

    (folder,) = made_once(factory, name, export).iterdir()
    return folder


def _export(model: SplitModel, head: Path | None, into: Path) -> Path:
    from training.export.export import write_weights
    from training.export.onnx import export_cloud_tail, export_local_tail, export_model

    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    # torch's exporter logs thousands of lines, which would bury a failing test's own.
    logging.disable(logging.WARNING)
    try:
        if head is None:
            networks = export_model(model)
        else:
            labels = model.config.label_sets
            networks = {
                "head": head.read_bytes(),
                "local": export_local_tail(model.local_tail, labels),
                "cloud": export_cloud_tail(model.cloud_tail, labels),
            }
        return write_weights(model, networks, into, {"data": "none"})
    finally:
        logging.disable(logging.NOTSET)


def _copied(weights: Path, folder: Path, changed: dict[str, Any]) -> Path:
    shutil.copytree(weights, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"fingerprint": folder.name, "meaning": None, **changed}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def weights_copy(weights_folder: Path, tmp_path: Path) -> Path:
    """A copy of the weights that a test may damage."""
    return Path(shutil.copytree(weights_folder, tmp_path / weights_folder.name))
