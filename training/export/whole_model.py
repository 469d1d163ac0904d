"""A model of a device as one ONNX file, from the crop to the logits of each label set."""

from __future__ import annotations

import onnx
from onnx import compose
from onnx.utils import Extractor

from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from training.export.half import widened

_HEAD, _TAIL = "head/", "tail/"


def whole_model(weights: Weights, name: str) -> bytes:
    """The local model that a user calls ``name``, in float32: crops uint8 ``(N, 1, 224, 224)`` ->
    logits ``(N, 7)`` by label set. Of the backbone, the head without its encoder and the tail
    behind it.

    Raises:
        ConfigError: these weights have no such model; the message names those they have.
    """
    tail = weights.local_tail(name)
    model = widened(onnx.load(weights.folder / weights.manifest.tails[tail].file))
    if tail == LOCAL_TAIL:
        model = _behind_its_head(onnx.load(weights.folder / weights.manifest.head.file), model)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _behind_its_head(head: onnx.ModelProto, tail: onnx.ModelProto) -> onnx.ModelProto:
    inputs, outputs = ["crop"], [one.name for one in tail.graph.output]
    both = compose.merge_models(
        compose.add_prefix(head, _HEAD),
        compose.add_prefix(tail, _TAIL),
        io_map=[(f"{_HEAD}features", f"{_TAIL}features")],
    )
    model = onnx.shape_inference.infer_shapes(both)
    cut = Extractor(model).extract_model(
        [f"{_HEAD}{one}" for one in inputs], [f"{_TAIL}{one}" for one in outputs]
    )
    plain = {f"{_HEAD}{one}": one for one in inputs} | {f"{_TAIL}{one}": one for one in outputs}
    domains = {one.domain: one for one in cut.opset_import}  # each came twice
    del cut.opset_import[:]
    cut.opset_import.extend(domains.values())
    for part in (*cut.graph.input, *cut.graph.output):
        part.name = plain[part.name]
    for node in cut.graph.node:
        for names in (node.input, node.output):
            names[:] = [plain.get(one, one) for one in names]
    return cut
