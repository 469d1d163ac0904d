from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.training.faces import made_faces
from training.data.augment import enlarge
from training.fit.tails_teacher import (
    TailsTeacher,
    load_split_model,
    mean_teacher,
    teacher_of,
)
from training.models.split_model import SplitConfig, SplitModel

VIEWS = enlarge(torch.from_numpy(made_faces(4).pictures), 224)


def test_the_tails_answer_together(split_model: SplitModel, tmp_path: Path) -> None:
    torch.save({"model": split_model.state_dict()}, tmp_path / "last.pt")
    teacher = teacher_of(tmp_path / "last.pt")
    assert isinstance(teacher, TailsTeacher)
    assert not any(p.requires_grad for p in teacher.parameters())
    with torch.no_grad():
        answers = split_model(VIEWS)
        mean = (answers.local.softmax(1) + answers.cloud.softmax(1)) / 2
    torch.testing.assert_close(teacher(VIEWS).softmax(1), mean, atol=1e-5, rtol=1e-5)


def test_a_larger_network_is_known_by_its_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `teacher` is not installed")
    from training.fit.teacher import Teacher

    teacher = Teacher()
    torch.save({"model": teacher.state_dict()}, tmp_path / "last.pt")
    assert isinstance(teacher_of(tmp_path / "last.pt"), Teacher)


def test_a_teacher_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint at .*last\.pt: train that run first"):
        teacher_of(tmp_path / "last.pt")


def test_a_checkpoint_of_another_network_is_named(tmp_path: Path) -> None:
    torch.save({"model": {"cloud_tail.blocks.0.other": torch.zeros(1)}}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt is of another network"):
        load_split_model(tmp_path / "last.pt")


def test_each_label_set_is_taught_on_its_own(crowd_model: SplitModel) -> None:
    with torch.no_grad():
        logits, answers = TailsTeacher(crowd_model)(VIEWS), crowd_model(VIEWS)
    for rows in (slice(0, 7), slice(7, 14)):
        mean = (answers.local[:, rows].softmax(1) + answers.cloud[:, rows].softmax(1)) / 2
        torch.testing.assert_close(logits[:, rows].exp(), mean, atol=1e-5, rtol=1e-5)


def test_of_several_teachers_the_mean_teaches(split_model: SplitModel, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = SplitModel(split_model.config).eval()
    paths = [tmp_path / name / "last.pt" for name in ("a", "b")]
    for path, model in zip(paths, (split_model, other), strict=True):
        path.parent.mkdir()
        torch.save({"model": model.state_dict()}, path)
    with torch.no_grad():
        mean = sum(teacher_of(path)(VIEWS).exp() for path in paths) / 2
        torch.testing.assert_close(
            mean_teacher(paths, torch.device("cpu"))(VIEWS).exp(), mean, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    "config",
    [
        SplitConfig(cloud="ensemble", stem="small", modules="none"),
        SplitConfig(cloud="residual", stem="small", label_sets=("crowd", "fer2013")),
        SplitConfig(cloud="lite", modules="none"),
    ],
)
def test_a_checkpoint_says_which_network_it_is_of(config: SplitConfig, tmp_path: Path) -> None:
    torch.save({"model": SplitModel(config).state_dict()}, tmp_path / "last.pt")
    assert load_split_model(tmp_path / "last.pt").config == config
