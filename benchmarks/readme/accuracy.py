"""The README's figures of what is recognised, and in how many bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy import calibration as calibration_figures
from benchmarks.accuracy.by_path import draw_by_entropy
from benchmarks.accuracy.paths import TOGETHER
from benchmarks.accuracy.rate_plot import draw as draw_rates
from benchmarks.common.bootstrap import points
from benchmarks.common.markdown import paragraphs, table
from benchmarks.readme.results import run_json
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights import Weights, default_folder

RATE_PICTURE = Path("docs/figures/rate-accuracy.png")
CALIBRATION_PICTURE = Path("docs/figures/calibration.png")
AGREEMENT_PICTURE = Path("docs/figures/agreement.png")
_PAPER = {"cloud": "63.26 % (full model)", "local": "60.25 % (backbone only)"}


def accuracy(data: str | None) -> str:
    """Accuracy by both label sets and bytes, by path, rate and tail, beside the paper's."""
    found = run_json("benchmarks.accuracy.accuracy", *_data(data), "--rate", "all")
    draw_by_entropy(found["paths"], AGREEMENT_PICTURE)
    rows = [_row(f"`{name}`", row, _PAPER.get(name, "")) for name, row in found["paths"].items()]
    manifest = Weights(default_folder()).manifest
    for name, tail in manifest.tails.items():
        if tail.path is AnswerPath.CLOUD and name != manifest.default_tail:
            other = run_json(
                "benchmarks.accuracy.accuracy", *_data(data), "--path", "cloud", "--tail", name
            )
            rows.insert(1, _row(f"`cloud --tail {name}`", other["paths"]["cloud"], ""))
    head = [
        "path",
        "people's label",
        "macro F1",
        "nats",
        "FER2013's label",
        "bytes a face",
        "paper 001, its test",
    ]
    main = next(iter(found["paths"].values()))["crowd"]
    even = found["paths"][TOGETHER]["crowd"].get("balanced")
    difference = found["differences"]["cloud - local, crowd"]
    return paragraphs(
        f"`python -m benchmarks accuracy --data fer2013.zip --votes ferplus.csv --usage "
        f"{found['usage']}`: single view, by the shipped ONNX files and the payload codec",
        table(head, rows),
        f"*People's label*: {main['protocol']['n']:,} faces of FER+'s protocol, where one of ten "
        f"voters says the majority's label in {main['voter_is_protocol']:.1%}; *nats*: cross "
        f"entropy against the votes (at least {main['cross_entropy_floor']:.3f}); *FER2013's "
        f"label*: {found['n']:,} faces. `cloud` less `local`, people's label: "
        f"{points(difference)}. "
        f"`image` sends the crop as {found['paths']['image']['picture_codec']}. `{TOGETHER}` is "
        "the mean of both, which `auto` gives where accuracy is asked for. "
        f"Weights `{found['fingerprint']}`.",
        even
        and (
            f"Under an even prior (`--prior balanced`) `{TOGETHER}` has "
            f"{even['protocol']['accuracy']:.2%}, macro recall {even['macro_recall']:.3f} in place "
            f"of {found['paths'][TOGETHER]['crowd']['macro_recall']:.3f}."
        ),
        f"![Accuracy by how far people agree]({AGREEMENT_PICTURE})",
    )


def rate(data: str | None) -> str:
    """Accuracy against bytes: every form of the latent, and pictures at equal accuracy."""
    found = run_json("benchmarks.accuracy.rate_accuracy", *_data(data))
    title = "{usage}, {n:,} faces, labels {labels}, tail {tail}".format(**found)
    draw_rates(found["points"], title, RATE_PICTURE)
    latents = [
        [
            f"latent, {'' if row['kind'] == 'rate' else 'raw, '}{row['name']}",
            f"{row['bytes_mean']:,.0f}",
            f"{row['accuracy']:.2%}",
        ]
        for row in found["points"]
        if row["kind"] in ("rate", "raw")
    ]
    lines = []
    for kind, row in found["against"].items():
        if row["accuracies"] is None:
            lines.append(f"- {kind}: no accuracy in common; its best is {row['best_accuracy']:.2%}")
            continue
        low, high = row["accuracies"]
        interval = "{:.2f} to {:.2f}".format(*row["ratio_worst_interval_95"])
        lines.append(
            f"- {kind}: from {low:.1%} to {high:.1%} at most {row['ratio_worst']:.2f} "
            f"({interval}), on average {row['ratio_mean']:.2f}"
        )
    return paragraphs(
        "`python -m benchmarks rate_accuracy --data fer2013.zip --votes ferplus.csv "
        f"--plot rate-accuracy.png`, labels {found['labels']}",
        table(["what is sent", "bytes a face", "accuracy"], latents),
        "Bytes of the latent as a share of a picture's at equal accuracy, of each codec the best "
        "of many sides and qualities (95 % interval):",
        "\n".join(lines),
        f"![Accuracy against bytes]({RATE_PICTURE})",
    )


def detector(data: str | None) -> str:
    """What is left of the accuracy where dlib crops the faces."""
    found = run_json("benchmarks.accuracy.accuracy", *_data(data), "--through-detector")
    rows = [
        [f"`{name}`", f"{row['direct']:.2%}", _change(row, "detected"), _change(row, "jittered")]
        for name, row in found["through_detector"].items()
    ]
    return paragraphs(
        "`python -m benchmarks accuracy --data fer2013.zip --votes ferplus.csv "
        f"--through-detector`, labels {found['labels']}: "
        f"{found['found']:,} faces that dlib finds ({found['found_share']:.0%}) of frames of "
        f"{found['frame']}",
        table(["path", "direct", "dlib's box", "moved and resized by up to 10 %"], rows),
    )


def calibration(data: str | None) -> str:
    """Expected calibration error, and accuracy over the surest answers."""
    found = run_json("benchmarks.accuracy.accuracy", *_data(data), "--rate", "all", "--calibration")
    calibration_figures.draw(found["calibration"], CALIBRATION_PICTURE)
    rows = [
        [
            f"`{name}`",
            f"{row['ece']:.3f}",
            f"{row['ece_adaptive']:.3f}",
            *(f"{place['accuracy']:.1%}" for place in row["coverage"][::2]),
        ]
        for name, row in found["calibration"].items()
    ]
    shares = next(iter(found["calibration"].values()))["coverage"][::2]
    head = ["path", "ECE", "adaptive", *(f"surest {place['coverage']:.0%}" for place in shares)]
    return paragraphs(
        "`python -m benchmarks accuracy --data fer2013.zip --votes ferplus.csv --rate all "
        f"--calibration`, labels {found['labels']}: expected calibration error"
        f"{_OF_VOTES if found['labels'] == LabelSet.CROWD else ''}, and accuracy over the surest "
        "answers",
        table(head, rows),
        f"![Calibration and coverage]({CALIBRATION_PICTURE})",
    )


_OF_VOTES = " (against the share of the votes that the answer has)"


def _data(data: str | None) -> list[str]:
    return ["--data", data] if data else []


def _row(name: str, row: dict[str, Any], paper: str) -> list[str]:
    said = row["crowd"]
    return [
        name,
        f"{said['protocol']['accuracy']:.2%}",
        f"{said['macro_f1']:.3f}",
        f"{said['cross_entropy']:.3f}",
        f"{row['fer2013']['accuracy']:.2%}",
        f"{row['bytes_mean']:,.0f}" if "bytes_mean" in row else "0",
        paper,
    ]


def _change(row: dict[str, Any], view: str) -> str:
    return f"{row[view]:.2%}: {points(row[f'{view} - direct'])}"
