"""What the papers' networks and others cost, beside their papers' tables:
``python -m benchmarks models --table 001.4`` (or ``000.6``).

Parameters, multiply-accumulates, time and memory of each in ONNX Runtime on one core, and the
accuracy of those that are trained, single view on PublicTest: as the weights say, or where they
are not shipped the log of their run. The others are
untrained, as torchvision defines them. A row without figures of ours is the paper's alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.device.model_size import count_macs, parameters
from benchmarks.models.kept import logged_accuracy
from benchmarks.models.subjects import CLOUD, TABLES, Subject
from splitfer.shared.weights import Weights, default_folder
from training.models.sfp import SFP

OPSET = 17
MIB = 2**20


def exported(network: nn.Module, channels: int, side_px: int) -> bytes:
    """An ONNX file of one face at a time, by torch's older exporter: nothing of it is shipped, and
    it takes a tenth of the time."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # it says that it is the older one
        target = Path(folder, "network.onnx")
        # The masks of SFP are made for the map that they meet, which the older one cannot follow.
        newer = any(isinstance(part, SFP) for part in network.modules())
        torch.onnx.export(
            network,
            (torch.zeros(1, channels, side_px, side_px),),
            target,
            dynamo=newer,
            input_names=["picture"],
            output_names=["logits"],
            verbose=False,
            opset_version=OPSET + newer,
            external_data=False,
        )
        return target.read_bytes()


def probe(runtime: str, file: Path, runs: int, pictures: Path | None = None) -> dict[str, Any]:
    """What ``benchmarks.models.probe`` prints of a file, in a process of its own.

    Raises:
        RuntimeError: it failed; the message is its last line, or the last that says "error".
    """
    command = [sys.executable, "-m", "benchmarks.models.probe", runtime, str(file)]
    command += ["--runs", str(runs)] + (["--pictures", str(pictures)] if pictures else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise RuntimeError(([line for line in said if "rror" in line] or said)[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(subject: Subject, runs: int) -> dict[str, Any]:
    """Parameters, multiply-accumulates of one face, bytes, time and memory of one network."""
    assert subject.build is not None
    torch.manual_seed(0)
    network = subject.build().eval()
    example = torch.zeros(1, subject.channels, subject.side_px, subject.side_px)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.onnx")
        file.write_bytes(exported(network, subject.channels, subject.side_px))
        found = probe("onnxruntime", file, runs)
        size = file.stat().st_size
    return {
        "parameters": parameters(network),
        "macs": sum(count_macs(network, example).values()),
        "float32_bytes": size,
        **found,
    }


def accuracy_of(weights: Weights, trained_as: str) -> dict[str, float]:
    """By label set, of PublicTest, as the weights say; empty where the model is not among them."""
    named = {**weights.manifest.local_models, CLOUD: weights.manifest.default_tail}
    if (tail := named.get(trained_as)) is None:
        return {}
    answers = weights.manifest.tails[tail].answers
    return {
        str(one): found.accuracy["PublicTest"]
        for one, found in answers.items()
        if "PublicTest" in found.accuracy
    }


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Every row of a table."""
    weights = Weights(arguments.weights or default_folder())
    rows = []
    for subject in tqdm(TABLES[arguments.table], desc="networks", disable=None):
        row: dict[str, Any] = {"name": subject.name, "paper": subject.paper}
        if subject.build is not None:
            row |= measure(subject, arguments.runs)
            row |= {"side_px": subject.side_px}
            found = accuracy_of(weights, subject.trained_as)
            row["accuracy"] = found or logged_accuracy(subject.trained_as)
        rows.append(row)
    return {
        "table": arguments.table,
        "rows": rows,
        "runs": arguments.runs,
        "fingerprint": weights.manifest.fingerprint,
        "machine": describe_machine(),
    }


HEAD = ("parameters, M", "MACs, M", "one core, ms", "memory, MiB", "people, %", "FER2013, %")


def own_figures(row: dict[str, Any]) -> list[str]:
    """Ours, in the order of ``HEAD``; dashes where there are none."""
    if "parameters" not in row:
        return ["-"] * len(HEAD)
    accuracy = [
        f"{100 * row['accuracy'][one]:.2f}" if one in row["accuracy"] else "untrained"
        for one in ("crowd", "fer2013")
    ]
    return [
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['macs'] / 1e6:,.1f}",
        f"{row['cpu_ms']:.2f}",
        f"{row['resident_bytes'] / MIB:.0f}",
        *accuracy,
    ]


def paper_head(result: dict[str, Any]) -> list[str]:
    """The columns that the paper has."""
    return list(dict.fromkeys(key for row in result["rows"] for key in row["paper"]))


def table(result: dict[str, Any]) -> str:
    """The rows as text, ours before the paper's."""
    theirs = paper_head(result)
    number, _, place = result["table"].partition(".")
    head = ["", *HEAD, *(f"{number}: {one}" for one in theirs)]
    rows = [
        [row["name"], *own_figures(row), *(row["paper"].get(one, "") for one in theirs)]
        for row in result["rows"]
    ]
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in (head, *rows)
    ]
    title = f"Paper {number}, Table {place}; weights {result['fingerprint']}"
    return "\n".join([title, "", *lines, "", machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", choices=TABLES, required=True, help="paper and table")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--runs", type=int, default=40, help="of the time of one face")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
