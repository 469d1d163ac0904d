"""What each stage costs on this device: ``python -m benchmarks edge``.

Detection, crop, head, payload, local tail and the full model on one face of a 640x480 frame. What
is compared is interleaved: every round runs each once, in a new order, so that a clock that slows
down or a busy neighbour meets all of them alike. Where torch is installed, it stands next to
ONNX Runtime, and a cloud tail without attention next to one with it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.device.face_frame import face_frame
from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.codec.latent import Latent
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import SourceError
from splitfer.shared.vision.crop import crop_face
from splitfer.shared.vision.detection import SearchLimits
from splitfer.shared.vision.dlib_detector import DlibDetector
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import Tail

NO_TORCH = "torch is not installed: pip install torch and '.[train]' from a checkout"
Stage = Callable[[], object]


def run_rounds(stages: dict[str, Stage], rounds: int, warm_up: int) -> dict[str, list[float]]:
    """Milliseconds per stage and round; the first ``warm_up`` rounds are not kept."""
    rng, names = random.Random(0), list(stages)
    times: dict[str, list[float]] = {name: [] for name in stages}
    for index in tqdm(range(warm_up + rounds), desc="rounds", unit="round", disable=None):
        rng.shuffle(names)
        for name in names:
            start = time.perf_counter()
            stages[name]()
            spent_ms = (time.perf_counter() - start) * 1000
            if index >= warm_up:
                times[name].append(spent_ms)
    return times


def spread(times_ms: list[float]) -> dict[str, float]:
    """Median and how far the rest lies from it."""
    p5, p50, p95 = np.percentile(times_ms, (5, 50, 95))
    return {"p50_ms": _round(p50), "p95_ms": _round(p95), "p5_ms": _round(p5)}


def attention_share(with_ms: list[float], without_ms: list[float]) -> dict[str, float]:
    """The share of a tail's time that attention takes, from rounds in which both ran."""
    a, b = np.asarray(with_ms), np.asarray(without_ms)
    low, high = np.percentile((a - b) / a, (25, 75))
    return {
        "share": _round(1 - np.median(b) / np.median(a)),
        "by_round_p25": _round(low),
        "by_round_p75": _round(high),
        "with_p50_ms": _round(np.median(a)),
        "without_p50_ms": _round(np.median(b)),
    }


def _round(value: float) -> float:
    return round(float(value), 4)


@dataclass(frozen=True)
class Inputs:
    """One face on its way through the stages."""

    crops: NDArray[np.uint8]
    features: NDArray[np.float32]
    symbols: NDArray[np.uint8]
    steps: NDArray[np.float32]


def device_stages(
    weights: Weights, threads: int, search_side_px: int, rgb: NDArray[np.uint8]
) -> tuple[dict[str, Stage], Inputs]:
    """The stages as the edge runs them, by ONNX Runtime, and what they work on."""
    limits = Limits()
    at_side, at_full = (
        DlibDetector(SearchLimits(side, limits.smallest_face_px, limits.faces_per_frame))
        for side in (search_side_px, max(rgb.shape))
    )
    grey, cropping = to_grey(rgb), weights.manifest.crop
    boxes = at_full.detect(grey)
    if not boxes:
        raise SourceError("no face is found in the benchmark's own frame")
    crops = crop_face(grey, boxes[0], cropping)[None]
    head = weights.head(threads)
    local = weights.tail(LOCAL_TAIL, threads)
    cloud = weights.tail(weights.manifest.default_tail, threads)
    features, z = head.run(crops)
    quantiser, codec, rate = weights.quantiser, weights.payload_codec, weights.rate_index("")
    symbols, steps = quantiser.symbols(z, rate), quantiser.steps(rate)

    def full_model() -> NDArray[np.float32]:
        return cloud.run(quantiser.symbols(head.run(crops)[1], rate), steps)

    stages: dict[str, Stage] = {
        "detect": lambda: at_side.detect(to_grey(rgb)),
        "detect_full_frame": lambda: at_full.detect(to_grey(rgb)),
        "crop": lambda: crop_face(grey, boxes[0], cropping),
        "head": lambda: head.run(crops),
        "encode": lambda: codec.encode(Latent(quantiser.symbols(z, rate)[0], rate)),
        "local_tail": lambda: local.run(features),
        "cloud_tail": lambda: cloud.run(symbols, steps),
        "full_model": full_model,
    }
    return stages, Inputs(crops, features, symbols, steps[None])


def torch_stages(weights: Weights, inputs: Inputs, threads: int) -> dict[str, Stage]:
    """The same networks in torch, and a cloud tail with and without attention in ONNX Runtime.

    Their weights are random: time does not depend on them.
    """
    import torch

    from training.export.onnx import ExportedCloudTail, ExportedHead, export_cloud_tail
    from training.fit.shipped import shipped_config
    from training.models.split_model import SplitModel

    torch.set_num_threads(threads)
    config = shipped_config(weights.folder, weights.manifest.default_tail)
    model = SplitModel(config).eval()
    head, cloud = ExportedHead(model.head), ExportedCloudTail(model.cloud_tail)
    crops, features, symbols, steps = (
        torch.from_numpy(array.copy())
        for array in (inputs.crops[:, None], inputs.features, inputs.symbols, inputs.steps)
    )

    def stage(module: torch.nn.Module, *given: torch.Tensor) -> Stage:
        def run() -> object:
            with torch.inference_mode():
                return module(*given)

        return run

    plain = SplitModel(replace(config, modules="none"))
    tails = {
        name: Tail(export_cloud_tail(one.cloud_tail, config.label_sets), threads)
        for name, one in (("with_attention", model), ("without_attention", plain))
    }
    return {
        "torch_head": stage(head, crops),
        "torch_local_tail": stage(model.local_tail, features),
        "torch_cloud_tail": stage(cloud, symbols, steps),
        "with_attention": lambda: tails["with_attention"].logits(inputs.symbols, inputs.steps),
        "without_attention": lambda: tails["without_attention"].logits(
            inputs.symbols, inputs.steps
        ),
    }


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    weights = Weights(arguments.weights or default_folder())
    rgb, frame = face_frame()
    stages, inputs = device_stages(weights, arguments.threads, arguments.search_side, rgb)
    has_torch = not arguments.without_torch and all(map(find_spec, ("torch", "onnx")))
    extra = torch_stages(weights, inputs, arguments.threads) if has_torch else {}
    times = run_rounds(stages | extra, arguments.rounds, arguments.warm_up)
    result: dict[str, Any] = {
        "threads": arguments.threads, "rounds": arguments.rounds, "frame": frame,
        "search_side_px": arguments.search_side, "fingerprint": weights.manifest.fingerprint,
        "stages": {name: spread(times[name]) for name in stages},
        "attention": None, "torch": None, "note": None, "machine": describe_machine(),
    }  # fmt: skip
    if has_torch:
        shares = attention_share(times["with_attention"], times["without_attention"])
        result["attention"] = shares
        result["torch"] = {
            part: {
                "torch_p50_ms": spread(times[f"torch_{part}"])["p50_ms"],
                "onnxruntime_p50_ms": result["stages"][part]["p50_ms"],
                "ratio": _round(np.median(times[f"torch_{part}"]) / np.median(times[part])),
            }
            for part in ("head", "local_tail", "cloud_tail")
        }
    else:
        result["note"] = "left out by --without-torch" if arguments.without_torch else NO_TORCH
    return result


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"One face of a {result['frame']}, weights {result['fingerprint']}",
        f"{result['threads']} thread(s), {result['rounds']} rounds",
        "",
        f"{'stage, ms':<22}{'p50':>9}{'p95':>9}{'p5':>9}",
    ]
    notes = {"detect": f"detect ({result['search_side_px']} px)", "full_model": "full model"}
    for name, row in result["stages"].items():
        title = notes.get(name, name.replace("_", " "))
        numbers = "".join(f"{row[key]:>9.3f}" for key in ("p50_ms", "p95_ms", "p5_ms"))
        lines.append(f"{title:<22}{numbers}")
    if result["attention"]:
        lines += ["", f"{'p50, ms':<22}{'torch':>9}{'ONNX RT':>9}{'ratio':>9}"]
        for name, row in result["torch"].items():
            lines.append(
                f"{name.replace('_', ' '):<22}{row['torch_p50_ms']:>9.3f}"
                f"{row['onnxruntime_p50_ms']:>9.3f}{row['ratio']:>9.2f}"
            )
        shares = result["attention"]
        lines.append(
            f"\nASP and SFP take {shares['share']:.1%} of the cloud tail's time "
            f"({shares['with_p50_ms']:.3f} ms with, {shares['without_p50_ms']:.3f} ms without; "
            f"half of the rounds lie in {shares['by_round_p25']:.1%} to "
            f"{shares['by_round_p75']:.1%})"
        )
    else:
        lines += ["", f"torch and the cost of ASP and SFP: {result['note']}"]
    return "\n".join([*lines, "", machine_line(result["machine"])])


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"at least {least}")
        return value

    return number


def main() -> int:
    """Command line; gives the exit code."""
    configured = EdgeConfig.model_fields["search_side_px"].default
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=_at_least(1), default=1)
    parser.add_argument("--rounds", type=_at_least(1), default=200)
    parser.add_argument("--warm-up", type=_at_least(0), default=20)
    parser.add_argument("--search-side", type=_at_least(80), default=configured, help="pixels")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    return finish(arguments, report, table)


if __name__ == "__main__":
    sys.exit(main())
