"""Choose the scale of a face's quality: ``python -m benchmarks quality_fit --data PATH``.

On the part of Training that is never trained on, as it is and degraded: the scale whose score is
nearest to the share that is left of the accuracy on good pictures, and by which confidence x score
tells right answers from wrong ones best. Prints the ends to write into ``SCALE``.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.degraded.answers import Answers, Truth, answers_by_label_set, right, truths
from benchmarks.degraded.degradations import CLEAN, DEGRADATIONS, SEVERE
from benchmarks.degraded.degraded import HELD_OUT, load
from benchmarks.degraded.quality_bands import area, measured, sides_px
from splitfer.shared.vision.quality import SCALE, QualityScale, quality_parts
from splitfer.shared.weights import Weights, default_folder

# Of each part the ends to try: the least and the greatest low end, the same of the high end.
RANGES = {
    "size_px": (1.0, 14.0, 15.0, 48.0),
    "sharpness": (0.005, 0.25, 0.3, 2.0),
    "noise": (2.7, 5.0, 5.0, 60.0),
    "brightness": (0.2, 10.0, 4.0, 80.0),
    "contrast": (0.1, 4.0, 1.5, 30.0),
}
# Bad pictures, and those of which little can be told, so that the low ends are seen too.
WAYS = DEGRADATIONS | SEVERE
# The score cannot see these, so that it is not asked to tell what they cost.
UNSEEN = ("roll of 30 deg", "mouth covered", "eyes covered")
# Of the area under the risk-coverage curve, beside the squared error.
AREA_WEIGHT = 0.5
SEED = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """Of one path and label set, all degradations together: ``measures`` ``(N, 3)``, sides
    ``(N,)``, whether the score could see it, whether the answer was right, its confidence, and the
    accuracy on good pictures."""

    measures: NDArray[np.float64]
    sides_px: NDArray[np.float64]
    seen: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    clean_accuracy: float


def sample(
    by_kind: dict[str, NDArray[np.float32]],
    found: dict[str, NDArray[np.float64]],
    truth: Truth,
) -> Sample:
    """Of probabilities ``(N, 7)`` and measures ``(N, 3)`` by degradation."""
    counted = truth.counted
    n = int(counted.sum())
    return Sample(
        np.concatenate([found[name][counted] for name in by_kind]),
        np.repeat([sides_px(name) for name in by_kind], n),
        np.repeat([name not in UNSEEN for name in by_kind], n),
        np.concatenate([right(said, truth) for said in by_kind.values()]),
        np.concatenate([said.max(axis=1)[counted] for said in by_kind.values()]),
        float(right(by_kind[CLEAN], truth).mean()),
    )


def loss(scale: QualityScale, samples: list[Sample]) -> tuple[float, float]:
    """The mean squared error of score x clean accuracy as a forecast of a right answer, and the
    mean area under the risk-coverage curve of confidence x score."""
    errors, areas = [], []
    for one in samples:
        score = quality_parts(one.measures, one.sides_px, scale).min(axis=0)
        gap = one.correct[one.seen] - one.clean_accuracy * score[one.seen]
        errors.append(float(np.square(gap).mean()))
        areas.append(area((one.confidence * score).astype(np.float32), one.correct))
    return float(np.mean(errors)), float(np.mean(areas))


def search(samples: list[Sample], rounds: int) -> QualityScale:
    """The best of ``rounds`` scales: a third drawn from all of ``RANGES``, the others near the best
    so far, ever nearer."""
    rng = np.random.default_rng(SEED)
    ends = np.log(np.array(list(RANGES.values()))).reshape(-1, 2)
    low, high = ends.T
    best, least = (low + high) / 2, np.inf
    for number in tqdm(range(rounds), desc="scales", disable=None):
        if number < rounds / 3:
            tried = rng.uniform(low, high)
        else:
            width = 0.3 * (1 - number / rounds) * (high - low) * (rng.random(len(low)) < 0.3)
            tried = np.clip(best + width * rng.standard_normal(len(low)), low, high)
        error, risk = loss(_scale(tried), samples)
        if error + AREA_WEIGHT * risk < least:
            best, least = tried, error + AREA_WEIGHT * risk
    return _scale(best)


def _scale(logarithms: NDArray[np.float64]) -> QualityScale:
    pairs = np.exp(logarithms).reshape(-1, 2)
    return QualityScale(*((float(f"{a:.3g}"), float(f"{b:.3g}")) for a, b in pairs))


def chosen(
    ours: dict[str, Answers],
    measured_by: dict[str, Truth],
    pictures: NDArray[np.uint8],
    rounds: int,
) -> dict[str, Any]:
    """The scale that was found, and the loss of it and of ``SCALE``."""
    found = measured(pictures, WAYS)
    samples = [
        sample(ours[name][path], found, truth)
        for name, truth in measured_by.items()
        for path in ("local", "cloud")
    ]
    best = search(samples, rounds)
    alone = float(np.mean([area(one.confidence, one.correct) for one in samples]))
    return {
        "scale": dataclasses.asdict(best),
        "loss": {"found": loss(best, samples), "present": loss(SCALE, samples)},
        "area_of_confidence_alone": round(alone, 6),
    }


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole choice that the command line asks for."""
    faces, votes = load(arguments)
    weights, measured_by = Weights(arguments.weights or default_folder()), truths(faces, votes)
    ours = answers_by_label_set(
        weights, arguments.tail, "", arguments.threads, faces.pictures, measured_by, WAYS
    )
    return {
        "usage": arguments.usage,
        "n": len(faces),
        "degradations": list(WAYS),
        **chosen(ours, measured_by, faces.pictures, arguments.rounds),
        "fingerprint": weights.manifest.fingerprint,
        "machine": describe_machine(),
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{result['usage']}, {result['n']} faces, weights {result['fingerprint']}", ""]
    lines += [f"{name:<12}{low:g} to {high:g}" for name, (low, high) in result["scale"].items()]
    lines.append(f"\n{'':<12}{'squared error':>15}{'area':>10}")
    for name, (error, risk) in result["loss"].items():
        lines.append(f"{name:<12}{error:>15.4f}{risk:>10.4f}")
    lines.append(f"{'confidence alone':<27}{result['area_of_confidence_alone']:>10.4f}")
    return "\n".join([*lines, "", machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="fer2013.zip, fer2013.csv or a folder")
    parser.add_argument("--votes", help="what people said: ferplus.csv or fer2013new.csv")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--most", type=positive, help="choose on the first N faces only")
    parser.add_argument("--rounds", type=positive, default=600, help="scales to try")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    arguments.usage = HELD_OUT
    return finish(arguments, report, table)


if __name__ == "__main__":
    sys.exit(main())
