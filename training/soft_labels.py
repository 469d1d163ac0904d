"""What a trained run says of the training pictures, as labels for another one."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

from shared.models.bottleneck import DEFAULT_RATE
from shared.models.split_model import SplitModel
from training.augment import enlarge

_BATCH = 128


@torch.no_grad()
def soft_labels(teacher: SplitModel, pictures: Tensor, size: int) -> Tensor:
    """``(N, 48, 48)`` uint8 -> float32 ``(N, classes)``, each row a distribution: the mean over
    both tails, as seen and mirrored."""
    teacher.eval()
    rows = []
    for some in tqdm(
        torch.split(pictures, _BATCH), desc="soft labels", unit="batch", mininterval=5
    ):
        views = torch.cat((some, some.flip(-1)))
        views = enlarge(views, size).contiguous(memory_format=torch.channels_last)
        with torch.autocast(pictures.device.type, torch.bfloat16):
            out = teacher(views, DEFAULT_RATE)
        tails = (out.local.float().softmax(dim=1) + out.cloud.float().softmax(dim=1)) / 2
        rows.append((tails[: len(some)] + tails[len(some) :]) / 2)
    return torch.cat(rows)
