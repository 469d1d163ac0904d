from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from splitfer.edge_client.config import load_config
from splitfer.edge_client.device import Device, FoundFaces
from splitfer.edge_client.policy.routes import candidates
from splitfer.edge_client.recognizer import Recognizer
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.whole_file import open_draft
from tests.manifests import edit_manifest, set_figures
from training.export import half, local_model
from training.export.local_model import add_local_model
from training.fit.classifier_trainer import middle
from training.models.crop_classifier import SIZE_PX, CropClassifier
from training.models.edgecnn import EdgeCNN

PICTURES = np.random.default_rng(3).integers(0, 256, (3, 48, 48), dtype=np.uint8)


def untrained() -> EdgeCNN:
    torch.manual_seed(0)
    return EdgeCNN(2).eval()


@pytest.fixture(scope="module")
def folder(crowd_weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with an EdgeCNN that learnt nothing; read only."""
    made = tmp_path_factory.mktemp("models") / crowd_weights_folder.name
    shutil.copytree(crowd_weights_folder, made)
    add_local_model(made, "edgecnn", untrained(), "nothing")
    return made


def device(folder: Path, **settings: Any) -> Device:
    return Device(load_config(None, {"weights": folder, "crops": True, **settings}))


def test_a_crop_gives_the_picture_again_that_it_was_enlarged_from() -> None:
    crops = torch.from_numpy(np.stack([enlarge_crop(one) for one in PICTURES]))[:, None]
    reduced: list[torch.Tensor] = []
    network = torch.nn.Identity()
    network.register_forward_hook(lambda _, given, __: reduced.append(given[0]))
    CropClassifier(network, SIZE_PX)(crops)
    # Both roundings to a byte lie between them.
    assert (reduced[0] - middle(torch.from_numpy(PICTURES))).abs().mean() < 1


def test_the_exported_model_answers_both_label_sets_as_torch_does(folder: Path) -> None:
    crops = np.stack([enlarge_crop(one) for one in PICTURES])[:, None]
    tail = Weights(folder).tail("edgecnn", 1)
    assert tail.takes_crops
    found = tail.all_logits(crops)
    with torch.no_grad():
        flat = CropClassifier(untrained(), SIZE_PX)(torch.from_numpy(crops)).numpy()
    for one, logits in zip((LabelSet.CROWD, LabelSet.FER2013), np.split(flat, 2, 1), strict=True):
        # Of parameters in half precision.
        assert np.abs(found[one] - logits).max() < 2e-3 * np.abs(flat).max()


def test_a_device_without_a_server_answers_by_it_and_runs_no_head(folder: Path) -> None:
    own = device(folder, local_model="edgecnn")
    found = own.find(np.repeat(PICTURES[0][..., None], 3, axis=2))
    assert isinstance(found, FoundFaces)
    assert len(found.z) == 0
    answers, _ = own.local_answers(found.tail_input)
    assert answers[0].model.endswith("/edgecnn")
    assert sum(answers[0].probabilities) == pytest.approx(1, abs=1e-5)


def test_with_a_server_the_latent_is_made_too(folder: Path) -> None:
    own = device(folder, local_model="edgecnn", server="localhost:1")
    found = own.find(np.repeat(PICTURES[0][..., None], 3, axis=2))
    assert isinstance(found, FoundFaces)
    assert len(found.z) == 1
    assert found.tail_input.dtype == np.uint8
    backbone = device(folder).find(np.repeat(PICTURES[0][..., None], 3, axis=2))
    assert isinstance(backbone, FoundFaces)
    assert backbone.tail_input.shape[1:] == (116, 28, 28)


def test_a_model_that_is_not_there_is_refused_with_those_that_are(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"local_model.*no 'nope'; there are backbone, edgecnn"):
        device(folder, local_model="nope")


def test_a_model_that_gives_wrong_numbers_is_refused(folder: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(folder, tmp_path / folder.name))
    manifest = Weights(spoilt).manifest
    with np.load(spoilt / manifest.golden.file) as file:
        arrays = dict(file)
    arrays["logits_edgecnn_crowd"] = arrays["logits_edgecnn_crowd"] + 0.1
    np.savez_compressed(spoilt / manifest.golden.file, **arrays)
    sha256 = hashlib.sha256((spoilt / manifest.golden.file).read_bytes()).hexdigest()
    edit_manifest(spoilt, lambda said: said["golden"].update(sha256=sha256))
    with pytest.raises(WeightsError, match="'edgecnn' gives wrong logits here"):
        device(spoilt, local_model="edgecnn")


@pytest.mark.parametrize("name", ["local", "backbone", "cloud"])
def test_it_takes_no_other_tails_name(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is another tail"):
        add_local_model(folder, name, untrained(), "nothing")


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.parent.rglob("*") if one.is_file()}


def spoilt(network: EdgeCNN) -> EdgeCNN:
    """Beyond half precision, as training gone wrong may leave it."""
    with torch.no_grad():
        for one in network.parameters():
            one.mul_(1e9)
    return network


def test_what_cannot_be_halved_leaves_the_weights_as_they_were(
    folder: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(folder, tmp_path / folder.name))
    before = contents(own)
    with pytest.raises(ValueError, match="rounding moves a logit"):
        add_local_model(own, "edgecnn", spoilt(untrained()), "nothing")
    assert contents(own) == before


def test_a_disk_that_fills_on_the_way_leaves_the_weights_as_they_were(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(shutil.copytree(folder, tmp_path / folder.name))
    before = contents(own)
    drafts = 0

    def full(path: Path) -> tuple[int, Path]:
        nonlocal drafts
        if path.parent == own:
            drafts += 1
            if drafts == 3:  # the network and its golden logits were written
                raise OSError(28, "No space left on device")
        return open_draft(path)

    monkeypatch.setattr("training.export.folder.open_draft", full)
    with pytest.raises(OSError, match="No space left"):
        add_local_model(own, "another", untrained(), "nothing")
    assert contents(own) == before
    monkeypatch.undo()
    add_local_model(own, "another", untrained(), "nothing")
    Weights(own).tail("another", 1)


def test_an_end_before_its_figures_leaves_the_weights_as_they_were(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring takes minutes; a model without its temperature is surer than it should be."""
    own = Path(shutil.copytree(folder, tmp_path / folder.name))
    before = contents(own)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_model, "load_classifier", lambda *_: untrained())
    monkeypatch.setattr(local_model, "judged_part", lambda *_: None)
    monkeypatch.setattr(local_model, "data_path", Path)
    monkeypatch.setattr(local_model, "unseen", lambda _: (None, None))
    monkeypatch.setattr(local_model, "measure_local_model", interrupted)
    arguments = ["local_model", "--data", "x", "--name", "another", "--weights", str(own)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(KeyboardInterrupt):
        local_model.main()
    assert contents(own) == before


def test_halving_the_cloud_tails_leaves_it_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "MOST_CHANGE", 0.01)  # these networks learnt nothing
    halved = Path(shutil.copytree(folder, tmp_path / folder.name))
    assert half.halve(halved).keys() == {"cloud"}
    for file in ("edgecnn.onnx", "local.onnx"):
        assert (halved / file).read_bytes() == (folder / file).read_bytes()
    for name in ("edgecnn", "local", "cloud"):
        Weights(halved).tail(name, 1)  # hashes and golden logits are checked


def test_the_policy_knows_what_it_was_measured_to_do(folder: Path, tmp_path: Path) -> None:
    known = Path(shutil.copytree(folder, tmp_path / folder.name))

    def figures(said: dict[str, Any]) -> None:
        for name, accuracy in {"local": 0.6, "edgecnn": 0.5, "cloud": 0.7}.items():
            set_figures(said["tails"][name]["answers"], accuracy=accuracy, log_loss=1.0)
        for rate in said["rates"]:
            rate["answers"]["cloud"] = said["tails"]["cloud"]["answers"]

    edit_manifest(known, figures)
    manifest = Weights(known).manifest
    local = {
        tail: next(
            one.accuracy
            for one in candidates(manifest, local_tail=tail)
            if one.path is AnswerPath.LOCAL
        )
        for tail in ("local", "edgecnn")
    }
    assert local == {"local": 0.6, "edgecnn": 0.5}


@pytest.mark.parametrize("model", ["edgecnn", "backbone-int8"])
def test_the_shipped_model_answers(model: str) -> None:
    assert model in Weights(default_folder()).manifest.local_models
    with Recognizer(local_model=model, crops=True) as recognizer:
        faces = recognizer.faces(PICTURES[0])
    assert [face.answer.model.rpartition("/")[2] for face in faces] == [model]
    assert faces[0].latency_ms.tail is not None
