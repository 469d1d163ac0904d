from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.unit.training.faces import made_faces
from tests.unit.training.small_tail import SmallTail
from training.data.augment import enlarge, random_views
from training.export.half import in_half
from training.export.planes import in_planes
from training.export.put_tail import put_tail
from training.fit import shipped
from training.fit.shipped import load_shipped, shipped_model
from training.models.ensemble import Ensemble
from training.models.split_model import CloudTail, SplitModel

FACES = made_faces(24)
VIEWS = enlarge(torch.from_numpy(made_faces(4, seed=9).pictures), 224).round()


@pytest.fixture(scope="module")
def two_runs(
    weights_folder: Path, split_model: SplitModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CloudTail]:
    """Weights with a tail ``large`` of two runs, and the second of them; read only."""
    folder = tmp_path_factory.mktemp("two") / weights_folder.name
    shutil.copytree(weights_folder, folder)
    torch.manual_seed(5)
    second = CloudTail(split_model.config).eval()
    put_tail(folder, "large", Ensemble([SmallTail(6), second]), "two runs")
    return folder, second


@pytest.mark.parametrize(("member", "stored"), [(None, "float32"), (1, "float32"), (1, "planes")])
def test_it_answers_as_the_files_do(
    weights_folder: Path,
    split_model: SplitModel,
    two_runs: tuple[Path, CloudTail],
    tmp_path: Path,
    member: int | None,
    stored: str,
) -> None:
    folder, tail, expected = weights_folder, "cloud", split_model.cloud_tail
    if member is not None:
        (folder, expected), tail = two_runs, "large"
    if stored == "planes":
        folder = Path(shutil.copytree(folder, tmp_path / folder.name))
        file = folder / f"{tail}.onnx"
        file.write_bytes(in_planes(in_half(file.read_bytes())))
    model = shipped_model(folder, tail, member, FACES)
    close = 1e-4 if stored == "float32" else 1e-2
    with torch.no_grad():
        got, wanted = model(VIEWS), split_model(VIEWS)
        torch.testing.assert_close(got.local, wanted.local, atol=1e-4, rtol=1e-4)
        assert torch.equal(got.values, wanted.values)
        y_hat = got.values / model.gains.gains()[1].view(1, -1, 1, 1)
        torch.testing.assert_close(model.cloud_tail(y_hat), expected(y_hat), atol=close, rtol=close)


def test_training_can_go_on_from_there(weights_folder: Path) -> None:
    """Norms hold the statistics of what they are given: to train does not begin with a jump."""
    model = shipped_model(weights_folder, "cloud", None, FACES)
    views = random_views(torch.from_numpy(FACES.pictures), 224, torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.head.features(views)
        model.train()
        torch.testing.assert_close(model.head.features(views), features, atol=2e-2, rtol=2e-2)
    for norm in model.head.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert not torch.equal(norm.weight, torch.ones_like(norm.weight))


def test_what_the_folder_does_not_hold_is_named(weights_folder: Path) -> None:
    with pytest.raises(ValueError, match="no cloud tail 'huge': there are cloud"):
        shipped_model(weights_folder, "huge", None, FACES)
    with pytest.raises(ValueError, match=r"no tail\.members\.0\.decoder\.conv\.weight"):
        shipped_model(weights_folder, "cloud", 0, FACES)
    with pytest.raises(ValueError, match=r"head\.onnx holds no such module"):
        load_shipped(nn.Linear(3, 2), weights_folder / "head.onnx", "head.", torch.zeros(1, 3))


def test_the_command_writes_a_checkpoint_once(
    weights_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shipped, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(shipped, "fit_prior", lambda model, faces: [500.0, 400.0, 300.0])
    monkeypatch.setattr(shipped, "data_path", lambda path: path)
    monkeypatch.setattr(shipped, "load_fer2013", lambda path, usage: FACES)
    monkeypatch.setattr(shipped, "split_off", lambda faces, share: (faces, faces))
    command = ["shipped", "--data", "x", "--run", "mine", "--weights", str(weights_folder)]
    monkeypatch.setattr("sys.argv", command)
    assert shipped.main() == 0
    SplitModel().load_state_dict(torch.load(tmp_path / "mine/last.pt")["model"])
    with pytest.raises(SystemExit):
        shipped.main()
    assert "exists already" in capsys.readouterr().err


def test_both_label_sets_begin_as_the_one_that_is_there(
    weights_folder: Path, split_model: SplitModel
) -> None:
    both = ("crowd", "fer2013")
    model = shipped_model(weights_folder, "cloud", None, FACES, both)
    assert model.config.label_sets == both
    with torch.no_grad():
        got, wanted = model(VIEWS), split_model(VIEWS)
    for path in ("local", "cloud"):
        logits = getattr(wanted, path)
        torch.testing.assert_close(
            getattr(got, path), torch.cat((logits, logits), 1), atol=1e-4, rtol=1e-4
        )


def test_tails_of_both_label_sets_answer_as_their_files_do(
    crowd_weights_folder: Path, crowd_model: SplitModel
) -> None:
    model = shipped_model(crowd_weights_folder, "cloud", None, FACES)
    assert model.config == crowd_model.config
    with torch.no_grad():
        got, wanted = model(VIEWS), crowd_model(VIEWS)
    for path in ("local", "cloud"):
        torch.testing.assert_close(getattr(got, path), getattr(wanted, path), atol=1e-4, rtol=1e-4)
