"""One network in one runtime, in a process of its own, on one core: what it costs and answers.

``python -m benchmarks.models.probe RUNTIME FILE`` prints a JSON object. Times are those that the
process computed (CPU time), which neighbours on the same machine change little; resident memory is
that of the whole process, with Python and the runtime in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RUNTIMES = ("onnxruntime", "torch", "torch.compile", "openvino")
WARM_UP = 5
Run = Callable[[NDArray[Any]], list[NDArray[np.float32]]]


def opened(runtime: str, file: Path) -> tuple[Run, tuple[int, ...], str]:
    """The network as a function of one input, with the input's shape for one face and its type."""
    if runtime == "onnxruntime":
        return _onnxruntime(file)
    if runtime == "openvino":
        return _openvino(file)
    return _torch(file, compiled=runtime == "torch.compile")


def _onnxruntime(file: Path) -> tuple[Run, tuple[int, ...], str]:
    from splitfer.shared.weights.runtime import session

    made = session(file.read_bytes(), 1)
    given = made.get_inputs()[0]
    shape = tuple(one if isinstance(one, int) else 1 for one in given.shape)
    kind = "uint8" if "uint8" in given.type else "float32"
    return lambda x: made.run(None, {given.name: x}), shape, kind


def _openvino(file: Path) -> tuple[Run, tuple[int, ...], str]:
    # It would load what reports its use to its maker; where that cannot be loaded, it does without.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    core = openvino.Core()
    model = core.read_model(file)
    place = model.inputs[0].partial_shape
    shape = (1, *(int(place[axis].get_length()) for axis in range(1, len(place))))
    model.reshape(shape)
    # Left to itself it computes in bfloat16 where the processor has it.
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    made = core.compile_model(model, "CPU", options)
    kind = "uint8" if "u8" in str(model.inputs[0].element_type) else "float32"
    request = made.create_infer_request()
    outputs = made.outputs
    return lambda x: [np.array(request.infer([x])[one]) for one in outputs], shape, kind


def _torch(file: Path, compiled: bool) -> tuple[Run, tuple[int, ...], str]:
    import torch

    torch.set_num_threads(1)
    if compiled:
        kept = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()
        for place in (str(Path(torch.__file__).parent), kept):
            if any(letter.isspace() for letter in place):
                raise RuntimeError(
                    f"torch.compile gives its compiler paths unquoted: no space may be in {place}"
                )
    network, shape, kind = torch.load(file, weights_only=False)
    made = torch.compile(network.eval()) if compiled else network.eval()

    def run(x: NDArray[Any]) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            logits = made(torch.from_numpy(x))
        return [part.numpy() for part in logits.split(7, dim=1)]

    return run, tuple(shape), str(kind)


def measure(runtime: str, file: Path, runs: int, pictures: Path | None) -> dict[str, Any]:
    """Times, memory and, of ``pictures`` (an array ``(N, 48, 48)``, each a crop), answers."""
    before = _resident_bytes()
    run, shape, kind = opened(runtime, file)
    rng = np.random.default_rng(0)
    face = rng.integers(0, 256, shape).astype(kind)
    times = []
    for turn in range(WARM_UP + runs):
        computed, started = time.process_time(), time.perf_counter()
        run(face)
        if turn >= WARM_UP:
            spent = time.process_time() - computed, time.perf_counter() - started
            times.append(spent)
    cpu, wall = np.percentile(np.array(times) * 1000, 50, axis=0)
    found: dict[str, Any] = {
        "cpu_ms": round(float(cpu), 3),
        "wall_ms": round(float(wall), 3),
        "runs": runs,
        "resident_bytes": _resident_bytes(),
        "resident_before_bytes": before,
    }
    if pictures is not None:
        found["answers"] = _answers(run, np.load(pictures))
    return found


def _answers(run: Run, pictures: NDArray[np.uint8]) -> list[list[int]]:
    """The label of each picture, by output of the network."""
    from splitfer.shared.vision.crop import enlarge_crop

    said = []
    for picture in pictures:
        said.append([int(one[0].argmax()) for one in run(enlarge_crop(picture)[None, None])])
    return [list(column) for column in zip(*said, strict=True)]


def _resident_bytes() -> int:
    """Of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(
        json.dumps(measure(arguments.runtime, arguments.file, arguments.runs, arguments.pictures))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
