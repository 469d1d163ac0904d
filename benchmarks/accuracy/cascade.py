"""Accuracy against the share of faces sent: ``python -m benchmarks cascade --data PATH --json``.

What ``--policy cascade`` gives at each ``--cascade-threshold``: the device answers every face; for
those whose confidence lies below the threshold the mean of its answer and the server's is given.
Every threshold sees the same faces. Beside it, what sending as many faces at random gives on
average.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.paths import Column, Paths, measure
from benchmarks.accuracy.picture_codec import picture_codec
from benchmarks.accuracy.truth import USAGES, add_truth, faces_of, label_set_of
from benchmarks.common.bootstrap import difference, points
from benchmarks.common.command import finish, positive
from benchmarks.common.machine import describe_machine, machine_line
from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.weights import Weights, default_folder
from training.study.figure_file import figure_path, save_figure

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(21))


def curve(
    confidence: NDArray[np.float32],
    local: NDArray[np.bool_],
    asked_right: NDArray[np.bool_],
    sent_bytes: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """A row per threshold. ``confidence`` ``(N,)`` is the device's; ``local`` and
    ``asked_right`` ``(N,)`` say which answers are right of the device alone and where the server is
    asked; ``sent_bytes`` ``(N,)`` what each face costs."""
    rows = []
    for threshold in THRESHOLDS:
        asked = confidence < threshold
        share = float(asked.mean())
        at_random = share * asked_right.mean() + (1 - share) * local.mean()
        rows.append(
            {
                "threshold": threshold,
                "share_sent": round(share, 4),
                "accuracy": round(float(np.where(asked, asked_right, local).mean()), 6),
                "accuracy_at_random": round(float(at_random), 6),
                "bytes_mean": round(float(np.where(asked, sent_bytes, 0).mean()), 1),
            }
        )
    return rows


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement that the command line asks for."""
    weights = Weights(arguments.weights or default_folder())
    label_set = label_set_of(arguments, weights)
    paths = Paths(weights, arguments.tail, arguments.threads, label_set)
    faces = faces_of(arguments, label_set)
    rate = weights.rate_index(arguments.rate)
    on_device, asked = Column(AnswerPath.LOCAL, rate), Column(AnswerPath.CLOUD, rate)
    scores = measure(paths, [on_device, asked], faces.pictures, picture_codec("jpeg:75"))
    confidence = paths.probabilities(on_device, scores[on_device]).max(axis=1)
    both = paths.together(scores[on_device], scores[asked], rate)
    local, together = (one.right(faces.labels) for one in (scores[on_device], both))
    default = EdgeConfig.model_fields["cascade_threshold"].default
    result = {
        "usage": arguments.usage, "labels": str(label_set), "n": len(faces),
        "fingerprint": weights.manifest.fingerprint,
        "tail": paths.tail, "rate": weights.manifest.rates[rate].name,
        "rows": curve(confidence, local, together, both.sent_bytes),
        "local": round(float(local.mean()), 6), "together": round(float(together.mean()), 6),
        "default_threshold": default,
        "at_default": difference(np.where(confidence < default, together, local), local),
        "machine": describe_machine(),
    }  # fmt: skip
    if arguments.plot:
        draw(result, arguments.plot)
    return result


def draw(result: dict[str, Any], target: Path) -> None:
    """The curve, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    rows = result["rows"]
    share = [100 * row["share_sent"] for row in rows]
    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    axes.plot(
        share,
        [100 * row["accuracy"] for row in rows],
        marker="o",
        markersize=4,
        label="the least sure faces are sent",
    )
    axes.plot(
        share,
        [100 * row["accuracy_at_random"] for row in rows],
        color="black",
        linewidth=0.8,
        alpha=0.6,
        label="as many at random",
    )
    for row in rows[::2]:
        axes.annotate(
            f"{row['threshold']:g}",
            (100 * row["share_sent"], 100 * row["accuracy"]),
            textcoords="offset points",
            xytext=(4, -12),
            fontsize=8,
        )
    axes.set(
        xlabel="faces sent, % (beside the points: --cascade-threshold)",
        ylabel=f"accuracy on {result['usage']} ({result['labels']}), %",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, target, dpi=120)
    plt.close(figure)


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [
        f"{result['usage']}, {result['n']} faces, labels {result['labels']}",
        f"weights {result['fingerprint']}, tail {result['tail']}, rate {result['rate']}",
        "",
        f"{'threshold':>9}{'sent':>8}{'accuracy':>10}{'at random':>11}{'bytes/face':>12}",
    ]
    lines += [
        f"{row['threshold']:>9.2f}{row['share_sent']:>8.1%}{row['accuracy']:>10.2%}"
        f"{row['accuracy_at_random']:>11.2%}{row['bytes_mean']:>12,.0f}"
        for row in result["rows"]
    ]
    gain = points(result["at_default"])
    lines.append(f"\nat {result['default_threshold']:g}, the default, against local: {gain}")
    return "\n".join([*lines, machine_line(result["machine"])])


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_truth(parser)
    parser.add_argument("--usage", choices=USAGES, default="PublicTest")
    parser.add_argument("--weights", type=Path, help="a folder of weights; else the default ones")
    parser.add_argument("--tail", default="", help="the cloud tail; else the weights' default")
    parser.add_argument("--rate", default="", help="what is sent; else the weights' default rate")
    parser.add_argument("--plot", type=figure_path, metavar="FILE", help="write the figure, too")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
