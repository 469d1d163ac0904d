"""A finished split model that teaches: both its tails together know more than either."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from shared.models.split_model import SplitConfig, SplitModel
from training.checkpoint import averaged_weights
from training.teacher import load_teacher


class TailsTeacher(nn.Module):
    """Views ``(N, 1, 224, 224)`` in 0..255 -> logarithms ``(N, 7)`` of the tails' mean
    probabilities, the latent at the default rate."""

    def __init__(self, model: SplitModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, views: Tensor) -> Tensor:
        """See the class."""
        answers = self.model(views)
        both: Tensor = answers.local.float().softmax(dim=1) + answers.cloud.float().softmax(dim=1)
        return (both / 2).log()


def teacher_of(checkpoint: Path) -> nn.Module:
    """The teacher in a checkpoint of ``training.teacher`` or of a split model, not to be trained.

    Raises:
        ValueError: there is no checkpoint, or the extra ``teacher`` is needed and not installed.
    """
    if not any(name.startswith("cloud_tail.") for name in averaged_weights(checkpoint)):
        return load_teacher(checkpoint)
    return TailsTeacher(load_split_model(checkpoint)).eval().requires_grad_(False)


def load_split_model(checkpoint: Path) -> SplitModel:
    """The split model in a checkpoint, of whichever cloud tail, for inference.

    Raises:
        ValueError: there is no checkpoint, or it is of no network of this code.
    """
    weights = averaged_weights(checkpoint)
    lite = any(name.startswith("cloud_tail.blocks.") for name in weights)
    model = SplitModel(SplitConfig(cloud="lite" if lite else "shufflenet"))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # it names every parameter
        raise ValueError(f"{checkpoint} is of another network than this code's") from error
    return model.eval()
