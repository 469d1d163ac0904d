"""What shipped weights say of the pictures that a small classifier learns from."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from splitfer.shared.errors import WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import softmax
from splitfer.shared.whole_file import write_whole
from training.data.judged import Judged


def taught_by(folder: Path, train: Judged, threads: int) -> Tensor:
    """What the local tail of a folder of weights says of each picture and its mirror image, the
    mean: float32 ``(N, L, 7)``. Asked once: kept in ``.checkpoints``.

    Raises:
        WeightsError: the folder cannot be used, or its tail does not answer these label sets.
    """
    kept = Path(".checkpoints") / f"answers-{folder.name}-{len(train)}.npy"
    if kept.exists():
        return torch.from_numpy(np.load(kept))
    weights = Weights(folder)
    head, tail = weights.head(threads), weights.tail(LOCAL_TAIL, threads)
    if missing := set(train.targets) - set(tail.label_sets):
        raise WeightsError(f"{folder}: its local tail does not answer {', '.join(missing)}")
    found = []
    for start in tqdm(range(0, len(train), 32), desc=f"what {folder.name} says", mininterval=5):
        some = train.faces.pictures[start : start + 32]
        both = []
        for pictures in (some, some[:, :, ::-1]):
            crops = np.stack([enlarge_crop(np.ascontiguousarray(one)) for one in pictures])
            logits = tail.all_logits(head.run(crops)[0])
            both.append(
                np.stack([softmax(logits[LabelSet(one)]) for one in sorted(train.targets)], 1)
            )
        found.append(np.mean(both, axis=0))
    answers = np.concatenate(found).astype(np.float32)
    kept.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, answers)
    write_whole(kept, buffer.getvalue())
    return torch.from_numpy(answers)
