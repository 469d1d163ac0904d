"""A cloud tail that takes the latent as it was before its quantiser, for reference."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from splitfer.shared.codec.quantiser import ZERO_SYMBOL
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights
from splitfer.shared.weights.runtime import Tail


class FloatTail:
    """One cloud tail of some weights, without the quantiser before it.

    A tail turns its symbols to float first, so it needs another input type and nothing else.
    """

    def __init__(self, weights: Weights, tail: str, threads: int) -> None:
        entry = weights.manifest.tails[tail]
        model = onnx.load_from_string((weights.folder / entry.file).read_bytes())
        for given in model.graph.input:
            if given.name == "latent":
                given.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        self._tail = Tail(model.SerializeToString(), threads)

    def logits(
        self, z: NDArray[np.float32], label_set: LabelSet | None = None
    ) -> NDArray[np.float32]:
        """float32 ``(N, 8, 28, 28)`` -> logits ``(N, 7)`` of one label set, else the tail's own."""
        return self._tail.logits(z + ZERO_SYMBOL, np.ones(z.shape[1], np.float32), label_set)
