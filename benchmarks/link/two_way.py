"""Paper 001's partial offloading, to be compared with: the map goes up and comes back.

    device  head -> 8x28x28 ==> server  decoder, attention -> Cx28x28 -> 8x28x28
    device  decoder, the remaining stages, classifier <== 8x28x28 (6,272 bytes each way)

Only its time is compared. The server runs the real attention, cut out of the weights' cloud tail;
for the way back the weighted map is projected on the decoder's eight main directions, since the
paper names no encoder for it. The service: ``python -m benchmarks.link.two_way HOST:PORT``.
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

from splitfer.shared.codec import raw
from splitfer.shared.contracts import LATENT_SHAPE
from splitfer.shared.errors import WeightsError
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import Manifest
from splitfer.shared.weights.runtime import session
from training.export.half import widened

METHOD = "/splitfer.benchmark.TwoWay/Weigh"
_SERVICE, _NAME = METHOD.strip("/").split("/")
_LEVELS = 255
PAPER_TAIL = "paper"
_RANGE = "<2f"


def tail_of(manifest: Manifest) -> str:
    """The tail that is built as in the paper, where the weights have one; else the default."""
    return PAPER_TAIL if PAPER_TAIL in manifest.tails else manifest.default_tail


@dataclass(frozen=True)
class Parts:
    """That tail in two: ``attention`` (symbols to the weighted map) and ``trunk`` (that map
    to logits), and ``directions`` float32 ``(C, 8)``, orthonormal, of such a map."""

    attention: Any
    trunk: Any
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, weights: Weights, threads: int) -> Parts:
        """Cut after the attention.

        Raises:
            WeightsError: the cloud tail is not built as expected.
        """
        entry = weights.manifest.tails[tail_of(weights.manifest)]
        model = onnx.shape_inference.infer_shapes(widened(onnx.load(weights.folder / entry.file)))
        first = next((n for n in model.graph.node if _begins_the_rest(n.input)), None)
        decoder = next(
            (i for i in model.graph.initializer if "decoder.conv.weight" in i.name), None
        )
        if first is None or decoder is None:
            raise WeightsError(f"{entry.file}: no remaining stages or no decoder is found in it")
        cut = first.input[0]
        extractor = onnx.utils.Extractor(model)
        inputs = [i.name for i in model.graph.input]
        # A tail of several label sets has an output for each.
        names = [o.name for o in model.graph.output]
        logits = names[0] if len(names) == 1 else weights.manifest.default_label_set.value
        halves = (extractor.extract_model(inputs, [cut]), extractor.extract_model([cut], [logits]))
        attention, trunk = (session(half.SerializeToString(), threads) for half in halves)
        weight = onnx.numpy_helper.to_array(decoder)
        weight = weight.reshape(len(weight), -1)
        directions = np.linalg.svd(weight, full_matrices=False)[0][:, : LATENT_SHAPE[0]]
        return cls(attention, trunk, np.ascontiguousarray(directions, np.float32))

    def weigh(self, symbols: NDArray[np.uint8], steps: NDArray[np.float32]) -> bytes:
        """The server's part: symbols uint8 ``(8, 28, 28)`` to the weighted map, encoded."""
        given: dict[str, Any] = {"latent": symbols[None]}
        if len(self.attention.get_inputs()) > 1:
            given["step"] = steps[None]
        weighted = self.attention.run(None, given)[0][0]
        return encode_map(self.directions.T @ weighted.reshape(len(self.directions), -1))

    def finish(self, data: bytes) -> NDArray[np.float32]:
        """The device's last part: the bytes that came back to logits ``(7,)``."""
        weighted = (self.directions @ decode_map(data)).reshape(1, -1, *LATENT_SHAPE[1:])
        name = self.trunk.get_inputs()[0].name
        return np.asarray(self.trunk.run(None, {name: weighted})[0][0])


def _begins_the_rest(inputs: Iterable[str]) -> bool:
    """Whether a node with these inputs is the first after the attention."""
    return any("stage3." in name or "blocks.0." in name for name in inputs)


def encode_map(values: NDArray[np.float32]) -> bytes:
    """float32 ``(8, 784)`` -> range (8 bytes) and one byte a value."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (_LEVELS / max(high - low, 1e-9))
    body: bytes = np.rint(scaled).astype(np.uint8).tobytes()
    return struct.pack(_RANGE, low, high) + body


def decode_map(data: bytes) -> NDArray[np.float32]:
    """The inverse of ``encode_map``."""
    low, high = struct.unpack_from(_RANGE, data)
    levels = np.frombuffer(data, np.uint8, offset=struct.calcsize(_RANGE)).reshape(
        LATENT_SHAPE[0], -1
    )
    return np.asarray(low + levels.astype(np.float32) * ((high - low) / _LEVELS))


def serve(address: str, weights: Weights) -> None:
    """Answer until killed; prints a line once it listens."""
    parts = Parts.of(weights, 1)
    steps = weights.quantiser.steps(weights.rate_index(""))

    def weigh(request: bytes, _: grpc.ServicerContext) -> bytes:
        return parts.weigh(raw.decode(request), steps)

    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.method_handlers_generic_handler(
        _SERVICE, {_NAME: grpc.unary_unary_rpc_method_handler(weigh)}
    )
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(address)
    server.start()
    print("listening", flush=True)
    server.wait_for_termination()


def main() -> int:
    """Command line of the service."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    serve(arguments.address, Weights(arguments.weights or default_folder()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
