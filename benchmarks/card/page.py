"""The model card as Markdown. What is measured comes from the card alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.card.confusion import Confusion
from benchmarks.card.findings import failures, labels_worth
from benchmarks.card.label_sets import accuracy, label_sets, priors, whose
from benchmarks.card.measurement import DETAILED, USAGE
from benchmarks.common.markdown import figures_table as table
from splitfer.shared.labels import LABELS, LabelSet

Row = dict[str, Any]

_HEAD = """\
# Model card: weights `{fingerprint}`

Written by `make model-card DATA=fer2013.zip{make_votes}`, which is
`python -m benchmarks model_card --data fer2013.zip{votes}`: every figure below was
measured with the shipped files, through the code that edge and server use.

A network that takes a grey picture of one upright face, cut as FER2013's are, and gives
probabilities of seven labels:
{labels}.
It is split: a head runs on a device, a tail on a server (`cloud`), and a second tail on the device
answers alone (`local`); `image` is what a server answers that was sent a picture: the
same, since nothing of it was lost in a latent. How it is built: [model.md](model.md).

It is for showing what expression a face seems to have to most lookers, where a mistake costs
little: demonstrations, interfaces that react, studies of split inference.
"""
_NOT_FOR = """\
## Not for

{labels_say}, not what
a person felt. So nothing that decides about a person may rest on an answer: work, school,
credit, insurance, border, police, court, health, or whether somebody lies. At work and in schools
the law of the European Union forbids to infer emotions, but for medical and safety reasons
(Regulation 2024/1689, Article 5). Do not use it to watch people who have not agreed, and not to
identify anybody: it was not made to, and was not tested for it.

FER2013 names nobody's age, sex, skin or origin, so whether groups of people are treated alike is
not known. Nothing is known of children, of masks other than the bars below, or of acted against
spontaneous expressions either.
"""
_SAY = {
    LabelSet.CROWD: "The labels say what ten people took the expression in a photograph for",
    LabelSet.FER2013: "The labels say by which word a photograph was found and that nobody who "
    "looked at it objected",
}
_DATA = """\
## Data

FER2013 (Goodfellow et al., 2013: *Challenges in representation learning*, ICML 2013 workshop):
48x48 grey faces that were found by a web search for emotion words, which became the labels, cropped
by a face detector, and cleaned by people. The pictures belong to whoever took them. They were given
out for the challenge and no licence to the pictures themselves is known, so **no picture of
FER2013, and no crop or average of one, is in this repository**; whoever trains or measures brings
the data.
What is shipped: weights, and figures about them. Whether weights may be used as their data may not
is for each user to settle.
"""
_COPIES = """\
{n:,} faces of {usage} are also in Training, as copies or mirrored. PrivateTest is held out:
nothing here was chosen or measured on it.
"""
_VOTES = """\
What ten people said of each picture is FER+'s (Barsoum et al., 2016), which is given out as votes
without the pictures; it is not in this repository either. *people* below are the faces by people's
label.
"""
_SLICES = """\
## Slices

Brightness and contrast are the mean and the standard deviation of a picture's grey values, in
quarters of equally many faces. Pose is a proxy: which of dlib's five sub-detectors is surest of
the enlarged picture. One interval in twenty misses the whole by chance alone.

![Accuracy by slice](model-card-slices.png)
"""
_COVERED = """\
A bar of the picture's mean grey over the eyes or the mouth, as sunglasses or a mask would lie;
points against the same faces uncovered.
"""
_CALIBRATION = """\
## Calibration

Logits are divided by a temperature before the softmax, fitted on a part split off Training. ECE is
the expected calibration error over bins of equal width, adaptive over bins of equal content.
{against}The last columns are the accuracy over the surest answers by {whose}, which is what
remains where the others are called `uncertain`.

![Calibration](model-card-calibration.png)
"""
_AGAINST_VOTES = """\
The highest probability is compared with the share of the votes that the answer has. *Expected* is
the adaptive error of a model that is right in the mean of every bin, its faces scattered about it
as they are here: an error no larger is none.
"""
# Shares of the surest answers that are told, of those that the calibration measures.
TOLD = (1.0, 0.8, 0.5)


def page(card: Row, facts: list[tuple[str, str]]) -> str:
    """The whole card; ``facts`` say where the weights come from."""
    people = bool(card["people"])
    return "\n".join(part for part in (
        _HEAD.format(
            fingerprint=card["fingerprint"],
            make_votes=" VOTES=ferplus.csv" if people else "",
            votes=" --votes ferplus.csv" if people else "",
            labels=", ".join(f"`{label}`" for label in LABELS),
        ),
        _NOT_FOR.format(labels_say=_SAY[LabelSet(card["label_set"])]),
        _weights(card, facts),
        _DATA,
        _VOTES if people else "",
        _counts(card),
        label_sets(card),
        accuracy(card),
        priors(card),
        _confusion(card),
        _failures(card),
        _slices(card),
        _calibration(card),
        _labels(card),
    ) if part)  # fmt: skip


def _weights(card: Row, facts: list[tuple[str, str]]) -> str:
    files = ", ".join(f"`{name}` {size / 1e6:.1f} MB" for name, size in card["bytes"].items())
    told = "\n".join(f"- {name}: {text}" for name, text in facts)
    return f"## Weights\n\nFiles: {files}. Where they come from:\n\n{told}\n"


def _counts(card: Row) -> str:
    contempt = ["contempt"] if card["people"] else []
    rows = []
    for name, counts in card["faces"].items():
        rows.append(
            [
                name,
                f"{sum(counts.values()):,}",
                *(f"{counts[label]:,}" for label in LABELS),
                *("" for _ in contempt),
                f"{card['blank'][name]:,}",
            ]
        )
        if said := card["people"].get(name):
            faces = (f"{n:,}" for n in said["protocol"]["faces"].values())
            rows.append([f"{name}, people", f"{said['protocol']['n']:,}", *faces, ""])
    return "\n".join(
        [
            table(["", "faces", *LABELS, *contempt, "blank"], rows),
            _COPIES.format(n=card["copies_in_training"], usage=USAGE),
        ]
    )


def _interval(ends: list[float]) -> str:
    return f"{ends[0]:.1%} to {ends[1]:.1%}"


def _confusion(card: Row) -> str:
    tables = {path: Confusion(np.array(card["confusion"][path])) for path in DETAILED}
    rows = [
        [
            f"`{label}`",
            f"{tables['cloud'].faces[at]:,}",
            *(
                f"{values[at]:.1%}"
                for one in tables.values()
                for values in (one.recall, one.precision, one.f1)
            ),
        ]
        for at, label in enumerate(LABELS)
    ]
    means = [
        f"{one.mean(values):.1%}"
        for one in tables.values()
        for values in (one.recall, one.precision, one.f1)
    ]
    rows.append(["mean of classes", "", *means])
    if contempt := tables["cloud"].contempt:
        rows.append(["contempt", f"{contempt:,}", *("" for _ in means)])
    head = [
        "",
        "faces",
        *(f"{path} {what}" for path in DETAILED for what in ("recall", "precision", "F1")),
    ]
    return "\n".join(
        [
            f"## By class\n\nBy {whose(card)}.\n",
            "![Confusion matrix](model-card-confusion.png)\n",
            table(head, rows),
        ]
    )


def _failures(card: Row) -> str:
    parts = ["## Failures\n"]
    for path in DETAILED:
        parts += [f"On `{path}`:\n", *(f"- {one}" for one in failures(card, path)), ""]
    return "\n".join(parts)


def _slices(card: Row) -> str:
    rows = [
        [f"{row['by']}: {row['name']}", f"{row['n']:,}", *_by_path(row)] for row in card["slices"]
    ]
    covered = [
        [
            f"{part} covered",
            *(
                text
                for path in DETAILED
                for text in (
                    f"{found[path]['accuracy']:.1%}",
                    f"{100 * found[path]['difference']:+.1f}",
                )
            ),
        ]
        for part, found in card["covered"].items()
    ]
    head = ["", *(f"{path} {what}" for path in DETAILED for what in ("accuracy", "points"))]
    return "\n".join(
        [
            _SLICES,
            table(["", "faces", *_heads()], rows),
            _COVERED,
            table(head, covered),
            _covered_recall(card),
        ]
    )


def _heads() -> list[str]:
    return [f"{path} {what}" for path in DETAILED for what in ("accuracy", "95 % interval")]


def _by_path(row: Row) -> list[str]:
    return [
        text
        for path in DETAILED
        for text in (f"{row[path]['accuracy']:.1%}", _interval(row[path]["interval_95"]))
    ]


def _covered_recall(card: Row) -> str:
    """Recall by class on ``cloud``, uncovered and covered."""
    plain = Confusion(np.array(card["confusion"]["cloud"])).recall
    rows = [["uncovered", *(f"{value:.0%}" for value in plain)]]
    rows += [
        [f"{part} covered", *(f"{value:.0%}" for value in found["cloud"]["recall"])]
        for part, found in card["covered"].items()
    ]
    return "Recall on `cloud`:\n\n" + table(["", *LABELS], rows)


def _calibration(card: Row) -> str:
    by_votes = card["label_set"] == LabelSet.CROWD
    rows = [
        [
            f"`{name}`",
            f"{row['temperature']:.3f}",
            f"{row['ece']:.3f}",
            f"{row['ece_adaptive']:.3f}",
            *([f"{row['ece_adaptive_expected']:.3f}"] if by_votes else []),
            f"{row['confidence_mean']:.1%}",
            *(f"{place['accuracy']:.1%}" for place in _told(row)),
        ]
        for name, row in card["calibration"].items()
    ]
    any_row = next(iter(card["calibration"].values()))
    shares = [f"surest {place['coverage']:.0%}" for place in _told(any_row)]
    head = ["", "temperature", "ECE", "adaptive", *(["expected"] if by_votes else [])]
    return "\n".join(
        [
            _CALIBRATION.format(against=_AGAINST_VOTES if by_votes else "", whose=whose(card)),
            table([*head, "mean probability", *shares], rows),
        ]
    )


def _told(row: Row) -> list[Row]:
    return [place for place in row["coverage"] if place["coverage"] in TOLD]


def _labels(card: Row) -> str:
    return (
        "## What FER2013's labels are worth\n\n"
        "People agree with FER2013's labels on about 65 ± 5 % of the faces (Goodfellow et al., "
        "2013), so an accuracy by them near or above that says how well the network learned this "
        f"set's habits. {labels_worth(card)}\n"
    )
