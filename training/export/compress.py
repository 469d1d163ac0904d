"""Prune and quantise a model of a device, and say what was lost and gained:
``python -m training compress --model edgecnn --prune 0.5 --quantize int8``.

``--quantize float16`` stores parameters in half precision, ``int8`` weights by paper 004's eq. 2 to
4; both are widened once when the file is read. ``int8-static`` computes in int8, with ranges that
ONNX Runtime finds on pictures held out of training. Pruning is by magnitude, a layer at a time: at
once, or with ``--epochs`` little by little while the run of ``--run`` learns on. A file with zeros
is smaller only where it is packed, so that is measured too.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.labels import LabelSet
from splitfer.shared.vision.crop import enlarge_crop
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.runtime import Tail
from splitfer.shared.whole_file import write_whole
from training.data.datasets import DataError, data_path
from training.data.judged import LEFT_OUT, Judged, judged_part
from training.data.votes import votes_or_none
from training.export.calibrate import unseen
from training.export.local_model import load_classifier
from training.export.onnx import export_crop_classifier
from training.export.quantise import float16_weights, pruned, static_int8, symmetric_int8
from training.export.whole_model import whole_model
from training.fit.pruned_run import prune_run
from training.models.crop_classifier import SIZE_PX, CropClassifier
from training.models.family import CLASSIFIERS

FORMS = ("float16", "int8", "int8-static")
BOTH = ("crowd", "fer2013")
CALIBRATION_FACES = 128
ROUNDS, WARM_UP, IN_A_ROW = 40, 3, 6
_Answers = dict[LabelSet, NDArray[np.int64]]


def quantised(data: bytes, form: str | None, faces: NDArray[np.uint8]) -> bytes:
    """``data`` in the ``form`` of the flag; ``faces`` ``(N, 48, 48)`` are what ranges are from."""
    if form == "float16":
        return float16_weights(data)
    if form == "int8":
        return symmetric_int8(data)
    if form == "int8-static":
        return static_int8(data, crops_of(faces))
    return data


def crops_of(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures ``(N, 48, 48)``, each a crop -> ``(N, 1, 224, 224)``."""
    return np.stack([enlarge_crop(one) for one in pictures])[:, None]


def size(data: bytes) -> dict[str, Any]:
    """Bytes of the file, of the same packed, and the share of zeros among its large weights."""
    values = [
        numpy_helper.to_array(one) for one in onnx.load_model_from_string(data).graph.initializer
    ]
    large = [one for one in values if one.ndim >= 2 and one.size >= 512]
    zeros, all_of_them = sum(int((one == 0).sum()) for one in large), sum(one.size for one in large)
    return {
        "bytes": len(data),
        "packed_bytes": len(zlib.compress(data, 9)),
        "zeros": round(zeros / max(all_of_them, 1), 4),
        # Paper 004, eq. 1.
        "compression_ratio": round(all_of_them / max(all_of_them - zeros, 1), 3),
    }


def latencies_ms(files: dict[str, bytes], rounds: int) -> dict[str, float]:
    """Median of one face on one thread. In every round each file has its turn, in a new order, of
    ``IN_A_ROW`` runs; the first run of a turn, which finds the other's data in the caches, is not
    counted."""
    tails = {name: Tail(data, 1) for name, data in files.items()}
    crop = np.random.default_rng(0).integers(0, 256, (1, 1, 224, 224), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in tails}
    names, draw = list(tails), random.Random(0)
    for turn in range(WARM_UP + rounds):
        draw.shuffle(names)
        for name in names:
            for run in range(IN_A_ROW):
                started = time.perf_counter()
                tails[name].all_logits(crop)
                if turn >= WARM_UP and run:
                    times[name].append(time.perf_counter() - started)
    return {name: round(1000 * float(np.median(some)), 3) for name, some in times.items()}


def answers(data: bytes, pictures: NDArray[np.uint8], threads: int = 2) -> _Answers:
    """The label of each picture ``(N, 48, 48)``, by label set."""
    tail, parts = Tail(data, threads), []
    for start in range(0, len(pictures), 32):
        logits = tail.all_logits(crops_of(pictures[start : start + 32]))
        parts.append({one: each.argmax(axis=1) for one, each in logits.items()})
    return {one: np.concatenate([part[one] for part in parts]) for one in parts[0]}


def lost(before: _Answers, after: _Answers, judged: Judged) -> dict[str, Any]:
    """Accuracy before and after by label set, and the paired difference with its 95 % interval."""
    found = {}
    for one in sorted(before.keys() & judged.labels.keys()):
        labels = judged.labels[one]
        counted = labels != LEFT_OUT
        right = [(said[one] == labels)[counted] for said in (before, after)]
        n = int(counted.sum())
        gained, missed = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
        change = (gained - missed) / n
        half = 1.96 * math.sqrt(max((gained + missed) / n - change**2, 0.0) / n)
        found[str(one)] = {
            "n": n,
            "before": round(float(right[0].mean()), 5),
            "after": round(float(right[1].mean()), 5),
            "difference": round(change, 5),
            "interval_95": [round(change - half, 5), round(change + half, 5)],
            "other_answers": round(float((before[one] != after[one]).mean()), 5),
        }
    return found


def compress(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line asks for: the file where one is named, and the figures.

    Raises:
        DataError: data or votes are missing or not as they should be.
        WeightsError, ConfigError: the weights cannot be used, or have no such model.
        ValueError: a run or a share is not as it should be.
    """
    data_file, votes = data_path(arguments.data), votes_or_none(arguments.votes)
    before = base(arguments)
    if arguments.epochs:
        run = prune_run(
            arguments.model, arguments.run, arguments.prune, arguments.epochs, data_file, votes
        )
        after = classifier_file(arguments.model, run)
    else:
        after = pruned(before, arguments.prune)
    calibration = unseen(judged_part(data_file, votes, "Training"))[1]
    faces = calibration.faces.pictures[:CALIBRATION_FACES]
    after = quantised(after, arguments.quantize, faces)
    tests = judged_part(data_file, votes, arguments.usage)
    said = [answers(one, tests.faces.pictures) for one in (before, after)]
    times = latencies_ms({"before": before, "after": after}, arguments.rounds)
    if arguments.out:
        write_whole(arguments.out, after)
    return {
        "model": arguments.model, "prune": arguments.prune, "quantize": arguments.quantize,
        "epochs": arguments.epochs, "usage": arguments.usage,
        "size": {"before": size(before), "after": size(after)}, "latency_ms": times,
        "accuracy": lost(said[0], said[1], tests), "processor": platform.machine(),
        "out": str(arguments.out) if arguments.out else None,
    }  # fmt: skip


def base(arguments: argparse.Namespace) -> bytes:
    """The model as it is, in float32: of a run where one is named, else the weights' own."""
    if arguments.run:
        return classifier_file(arguments.model, arguments.run)
    return whole_model(Weights(arguments.weights or default_folder()), arguments.model)


def classifier_file(model: str, run: str) -> bytes:
    """The trained classifier of a run, from the crop on."""
    network = CropClassifier(load_classifier(model, run), SIZE_PX)
    return export_crop_classifier(network.eval(), BOTH)


def table(found: dict[str, Any]) -> str:
    """The figures as text."""
    before, after = found["size"]["before"], found["size"]["after"]
    times = found["latency_ms"]
    lines = [
        f"{found['model']}, pruned by {found['prune']:.0%}, {found['quantize'] or 'float32'}",
        f"{'':<26}{'before':>12}{'after':>12}{'after/before':>14}",
    ]
    rows = [
        ("file, bytes", before["bytes"], after["bytes"]),
        ("packed, bytes", before["packed_bytes"], after["packed_bytes"]),
    ]
    lines += [f"{name:<26}{a:>12,}{b:>12,}{b / a:>14.2f}" for name, a, b in rows]
    a, b = times["before"], times["after"]
    lines.append(f"{'one face, one thread, ms':<26}{a:>12.2f}{b:>12.2f}{b / a:>14.2f}")
    lines.append(f"{'zeros among weights':<26}{before['zeros']:>12.1%}{after['zeros']:>12.1%}")
    for one, row in found["accuracy"].items():
        low, high = (100 * end for end in row["interval_95"])
        lines.append(
            f"{'accuracy, ' + one:<26}{row['before']:>12.2%}{row['after']:>12.2%}   "
            f"{100 * row['difference']:+.2f} points ({low:+.2f} to {high:+.2f}), "
            f"{row['other_answers']:.1%} answer otherwise"
        )
    return "\n".join(lines)


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, help=f"backbone, {', '.join(CLASSIFIERS)}")
    parser.add_argument("--run", default="", help="of this run; else as in the weights")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--prune", type=float, default=0.0, metavar="SHARE", help="of the weights")
    parser.add_argument("--quantize", choices=FORMS, help="else it stays float32")
    parser.add_argument("--epochs", type=int, default=0, help="of training while it is pruned")
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="ferplus.csv or fer2013new.csv, for the label set crowd")
    parser.add_argument("--usage", default="PublicTest", help="the part that is measured")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the latency")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the compressed ONNX file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if arguments.epochs and not arguments.run:
        parser.error("--epochs goes on training a run: name it with --run")
    try:
        found = compress(arguments)
    except DataError as error:
        print(f"compress: {error}", file=sys.stderr)
        return 3
    except ConfigError as error:
        parser.error(str(error))
    except WeightsError as error:
        print(f"compress: {error}", file=sys.stderr)
        return 4
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps(found) if arguments.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
