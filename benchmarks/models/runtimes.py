"""One network in several runtimes and precisions, beside paper 004's Table 4:
``python -m benchmarks runtimes --table 004.4``.

Each of the models of a device in torch (eager and compiled), ONNX Runtime (float32, float16, int8
by calibration, int8 weights by 004's eq. 2 to 4) and OpenVINO, a process of its own for each, on
one core. Accuracy is of faces of PublicTest, single view, through that very runtime.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from benchmarks.common.bootstrap import difference, points
from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.device.model_size import parameters
from benchmarks.models.kept import with_kept_models
from benchmarks.models.models import MIB, probe
from benchmarks.models.subjects import untrained
from splitfer.shared.contracts import CROP_SIDE
from splitfer.shared.labels import LabelSet
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.weights import Weights, default_folder
from training.data.datasets import data_path
from training.data.judged import LEFT_OUT, Judged, judged_part
from training.data.votes import votes_or_none
from training.export.calibrate import unseen
from training.export.compress import CALIBRATION_FACES, crops_of
from training.export.quantise import (
    float16_everywhere,
    float16_weights,
    static_int8,
    symmetric_int8,
)
from training.export.whole_model import whole_model
from training.fit.shipped_network import shipped_network
from training.models.family import CLASSIFIERS

# Paper 004, Table 4, on a Jetson Nano with its graphics processor: FPS, mW and GB in all.
PAPER = {
    "Keras FP32": ("2.5", "3215", "3.4"),
    "TFLite FP32": ("4.85", "3310", "1.06"),
    "TFLite FP16": ("4.87", "3300", "1.08"),
    "ONNX FP32": ("5.21", "3480", "3.9"),
    "ONNX FP16": ("4.73", "3470", "3.9"),
    "TensorRT FP32": ("5.43", "3390", "2.37"),
    "TensorRT FP16": ("5.51", "3360", "2.37"),
}
# Of each of our rows the nearest of theirs.
NEAREST = {
    ("torch", "float32"): "Keras FP32",
    ("onnxruntime", "float32"): "ONNX FP32",
    ("onnxruntime", "float16"): "ONNX FP16",
    ("openvino", "float32"): "TensorRT FP32",
}
TORCH = ("torch", "torch.compile")


def files_of(
    weights: Weights, name: str, network: nn.Module, held_out: Judged, folder: Path
) -> dict[tuple[str, str], Path]:
    """The model's file for each runtime and precision, written into ``folder``; ``network`` is the
    same in torch."""
    data = whole_model(weights, name)
    crops = crops_of(held_out.faces.pictures[:CALIBRATION_FACES])
    forms: dict[str, Callable[[bytes], bytes]] = {
        "float32": lambda data: data,
        "float16 stored": float16_weights,
        "float16": float16_everywhere,
        "int8 weights": symmetric_int8,
        "int8": lambda data: static_int8(data, crops),
    }
    files: dict[tuple[str, str], Path] = {}
    saved = folder / f"{name}.pt"
    torch.save((network, (1, 1, CROP_SIDE, CROP_SIDE), "uint8"), saved)
    files |= {(runtime, "float32"): saved for runtime in TORCH}
    for form, made in forms.items():
        file = folder / f"{name}-{form.replace(' ', '-')}.onnx"
        file.write_bytes(made(data))
        files["onnxruntime", form] = file
    if find_spec("openvino"):
        files["openvino", "float32"] = files["onnxruntime", "float32"]
    return files


def measure(
    weights: Weights, name: str, held_out: Judged, tests: Judged, runs: int
) -> list[dict[str, Any]]:
    """A row for each runtime and precision of one model."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "pictures.npy", tests.faces.pictures)
        network, in_torch = _in_torch(weights, name, held_out)
        files = files_of(weights, name, network, held_out, folder)
        if not in_torch:
            files = {key: file for key, file in files.items() if key[0] not in TORCH}
        order = sorted(files, key=lambda key: key != ("onnxruntime", "float32"))
        said: dict[LabelSet, Any] = {}
        for runtime, form in tqdm(order, desc=name, disable=None):
            file = files[runtime, form]
            row: dict[str, Any] = {"model": name, "runtime": runtime, "form": form}
            row["parameters"] = parameters(network)
            rows.append(row)
            try:
                found = probe(runtime, file, runs, folder / "pictures.npy")
            except RuntimeError as error:
                row["error"] = str(error)[:200]
                continue
            by_output = [np.array(one) for one in found.pop("answers")]
            answers = dict(zip(weights.manifest.label_sets, by_output, strict=True))
            said = said or answers
            row |= {"file_bytes": file.stat().st_size, **found}
            row["accuracy"] = {
                str(one): _accuracy(answers[one], said[one], tests.labels[one])
                for one in answers
                if one in tests.labels
            }
    return rows


def _in_torch(weights: Weights, name: str, held_out: Judged) -> tuple[nn.Module, bool]:
    """The model in torch, and whether it answers as its file does: of a file that cannot be read
    back it has the sizes alone."""
    try:
        pictures = held_out.faces.pictures[:CALIBRATION_FACES]
        return shipped_network(weights, name, pictures), True
    except ValueError:
        return untrained(name), False


def _accuracy(answers: Any, float32: Any, labels: Any) -> dict[str, Any]:
    """Share of right answers, and what that is less ONNX Runtime's float32 on the same faces."""
    counted = labels != LEFT_OUT
    right = (answers == labels)[counted]
    return {
        "accuracy": round(float(right.mean()), 5),
        "n": int(counted.sum()),
        "difference": difference(right, (float32 == labels)[counted]),
        "same_answers": round(float((answers == float32).mean()), 5),
    }


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole table."""
    weights = Weights(arguments.weights or default_folder())
    data, votes = data_path(arguments.data), votes_or_none(arguments.votes)
    held_out = unseen(judged_part(data, votes, "Training"))[1]
    tests = judged_part(data, votes, "PublicTest")
    if arguments.most is not None:
        tests = tests.subset(np.arange(len(tests)) < arguments.most)
    with with_kept_models(weights) as every:
        # Not those that are a form of another one.
        own = [one for one in every.manifest.local_models if one in (BACKBONE, *CLASSIFIERS)]
        names = [arguments.model] if arguments.model else own
        rows = [
            row for name in names for row in measure(every, name, held_out, tests, arguments.runs)
        ]
    return {
        "table": arguments.table,
        "rows": rows,
        "paper": PAPER,
        "faces": len(tests),
        "openvino": find_spec("openvino") is not None,
        "fingerprint": weights.manifest.fingerprint,
        "machine": describe_machine(),
    }


HEAD = (
    "model", "runtime", "form", "faces/s", "CPU, ms", "memory, MiB", "file, kB", "people, %",
    "FER2013, %", "less float32, points", "004's nearest: FPS, mW, GB",
)  # fmt: skip


def cells(row: dict[str, Any]) -> list[str]:
    """One row, in the order of ``HEAD``."""
    start = [row["model"], row["runtime"], row["form"]]
    theirs = NEAREST.get((row["runtime"], row["form"]), "")
    paper = f"{theirs}: {', '.join(PAPER[theirs])}" if theirs else ""
    if "error" in row:
        return [*start, *["-"] * 6, f"failed: {row['error']}", paper]
    found = row["accuracy"]
    first = found.get("crowd") or found["fer2013"]
    return [
        *start, f"{1000 / row['cpu_ms']:,.0f}", f"{row['cpu_ms']:.2f}",
        f"{row['resident_bytes'] / MIB:.0f}", f"{row['file_bytes'] / 1000:,.0f}",
        *(f"{100 * found[one]['accuracy']:.2f}" if one in found else "-"
          for one in ("crowd", "fer2013")),
        points(first["difference"]), paper,
    ]  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The rows as text."""
    rows = [list(HEAD), *map(cells, result["rows"])]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in rows]
    theirs = "; ".join(f"{name} {', '.join(row)}" for name, row in PAPER.items())
    notes = [f"Paper 004, Table 4 (FPS, mW, GB): {theirs}"]
    if not result["openvino"]:
        notes.append("OpenVINO is not installed here: pip install openvino")
    title = f"{result['faces']:,} faces of PublicTest, weights {result['fingerprint']}"
    return "\n".join([title, "", *lines, "", *notes, machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", choices=("004.4",), default="004.4", help="paper and table")
    parser.add_argument(
        "--model", default="", help="else every model of a device in the weights, or kept"
    )
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv: what people said")
    parser.add_argument("--most", type=int, help="measure the first N faces only")
    parser.add_argument("--runs", type=int, default=40, help="of the time of one face")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
