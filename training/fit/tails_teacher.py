"""A finished split model that teaches: both its tails together know more than either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from splitfer.shared.labels import LABELS
from training.fit.checkpoint import averaged_weights
from training.fit.teacher import Teacher, load_teacher
from training.models.architecture import CLOUD, config_of
from training.models.split_model import SplitModel


class TailsTeacher(nn.Module):
    """Views ``(N, 1, 224, 224)`` in 0..255 -> logarithms ``(N, 7 L)`` of the tails' mean
    probabilities in each label set, the latent at the default rate."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, views: Tensor) -> Tensor:
        """See the class."""
        answers = self.model(views)
        both = _probabilities(answers.local) + _probabilities(answers.cloud)
        return (both / 2).log()


def _probabilities(logits: Tensor) -> Tensor:
    """Flat ``(N, 7 L)`` -> the same, of which each 7 sum to 1."""
    parts: Sequence[Tensor] = torch.split(logits.float(), len(LABELS), dim=1)
    return torch.cat([one.softmax(dim=1) for one in parts], dim=1)


class MeanTeacher(nn.Module):
    """Several teachers of the same label sets -> logarithms ``(N, 7 L)`` of their mean
    probabilities."""

    def __init__(self, teachers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)

    def forward(self, views: Tensor) -> Tensor:
        """See the class."""
        answers = torch.stack([_probabilities(teacher(views)) for teacher in self.teachers])
        return answers.mean(dim=0).clamp(min=1e-12).log()


def mean_teacher(checkpoints: Sequence[Path], device: torch.device) -> nn.Module:
    """The teachers of several checkpoints as one, on ``device``; see ``teacher_of``."""
    teachers = [teacher_of(one) for one in checkpoints]
    teacher = (teachers[0] if len(teachers) == 1 else MeanTeacher(teachers)).to(device)
    # torch's stub of Module.to knows no memory_format.
    return teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def blocks_teacher(teacher: nn.Module | None) -> Teacher:
    """The one whose blocks a tail can begin with: ``teacher`` itself, or the first such among
    several.

    Raises:
        ValueError: there is none.
    """
    for one in teacher.teachers if isinstance(teacher, MeanTeacher) else [teacher]:
        if isinstance(one, Teacher):
            return one
    raise ValueError("start_lite takes the blocks of a teacher of training.fit.teacher")


def teacher_of(checkpoint: Path) -> nn.Module:
    """The teacher in a checkpoint of ``training.fit.teacher`` or of a split model, not to be
    trained.

    Raises:
        ValueError: there is no checkpoint, or the extra ``teacher`` is needed and not installed.
    """
    if not any(name.startswith(CLOUD) for name in averaged_weights(checkpoint)):
        return load_teacher(checkpoint)
    return TailsTeacher(load_split_model(checkpoint)).eval().requires_grad_(False)


def load_split_model(checkpoint: Path) -> SplitModel:
    """The split model in a checkpoint, of whichever network of this code, for inference.

    Raises:
        ValueError: there is no checkpoint, or it is of no network of this code.
    """
    weights = averaged_weights(checkpoint)
    try:
        model = SplitModel(config_of({name: tuple(one.shape) for name, one in weights.items()}))
        model.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:  # it names every parameter
        raise ValueError(f"{checkpoint} is of another network than this code's") from error
    return model.eval()
