"""The card's sections that tell whose labels count: what they mean, accuracy, and both priors."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.paths import TOGETHER
from benchmarks.card.measurement import PICTURE_CODEC, USAGE
from benchmarks.common.markdown import figures_table
from splitfer.shared.labels import LABELS, LabelSet
from splitfer.shared.prior import Prior

Row = dict[str, Any]

_BOTH = """\
## Two label sets

Every tail answers twice from one run. `crowd`, which users get, says how ten people's votes for a
picture would be spread (FER+: Barsoum et al., *Training Deep Networks for Facial Expression
Recognition with Crowd-Sourced Label Distribution*, 2016). `fer2013` says the one label that the
picture has in FER2013, the word that a web search found it by. The two are different questions:
FER2013's label is people's on {label_is_protocol:.1%} of the faces of {usage} on which people
agree, and their first choice on {label_is_plurality:.1%} of all. `crowd` is what a looker would
say; `fer2013` is for comparison with what others measured.

People's label is that of FER+'s majority protocol: a vote that nobody shares is dropped, and more
than half of the rest must be for one label. {protocol_n:,} of the {n:,} faces have one;
{contempt:,} of these are contempt, which is none of our labels: they count, and are always answered
wrong. One of the ten voters says people's label in {voter_is_protocol:.1%}. *nats* is the cross
entropy of the probabilities against the votes, which no answers can bring below
{cross_entropy_floor:.3f}.
"""
_OF_OLD_WEIGHTS = """\
## One label set

These weights answer `fer2013` alone: the one label that a picture has in FER2013, the word that a
web search found it by, and not what people who look at it say.
"""
_ACCURACY = """\
## Accuracy

{faces} of {usage}, single view; Wilson's interval. `image` sends {codec} of 48x48. `{together}` is
the mean of both probabilities. The rest of this page is about the tail `{tail}` at the rate
`{rate}`, and about `local`, {rest}.
"""
_PRIORS = """\
## Natural and balanced

By {whose}. A network learns how common each label is. `natural`, the default, keeps that, which is
right for faces spread as those are; `--prior balanced` takes it out, as if every label were equally
common. The rare labels pay for `natural`: of `{together}`'s answers,

{found}

Where people act expressions on purpose, the rare ones are as common as the others, and `natural`
costs most. That was not measured here. The last columns are the recall by label.
"""
# Labels that are rare in what people say.
RARE = ("disgust", "fear")


def label_sets(card: Row) -> str:
    """What the labels mean, with what people's agreement is worth beside ours."""
    if not card["people"]:
        return _OF_OLD_WEIGHTS
    said = card["people"][USAGE]
    protocol = said["protocol"]
    told = {**said, "protocol_n": protocol["n"], "contempt": protocol["faces"]["contempt"]}
    told |= {key: told[key] or 0.0 for key in ("label_is_protocol", "label_is_plurality")}
    both = _BOTH.format(usage=USAGE, **told)
    if card["label_set"] == LabelSet.CROWD:
        return both
    # Weights of `fer2013` alone, measured by what people say too.
    return _OF_OLD_WEIGHTS + both[both.index("\nPeople's label is that") :]


def accuracy(card: Row) -> str:
    """Accuracy by people's label and by FER2013's, a row a path, tail and rate."""
    n = sum(card["faces"][USAGE].values())
    people = bool(card["people"])
    faces = f"{n:,} faces"
    if people:
        faces += f" ({card['people'][USAGE]['protocol']['n']:,} with people's label)"
    head = ["path", "tail", "rate"]
    if people:
        head += ["people's label", "95 % interval", "without copies", "macro F1", "nats"]
    head += ["FER2013's label", "95 % interval", "without copies", "bytes a face"]
    rows = [
        [
            f"`{row['path']}`",
            row["tail"],
            row["rate"],
            *(_by_people(row["crowd"]) if people else []),
            *_hits(row["fer2013"]),
            f"{row['bytes_mean']:,.0f}" if "bytes_mean" in row else "0",
        ]
        for row in card["accuracy"]
    ]
    used_crowd = card["label_set"] == LabelSet.CROWD
    intro = _ACCURACY.format(
        faces=faces,
        usage=USAGE,
        codec=PICTURE_CODEC,
        together=TOGETHER,
        tail=card["tail"],
        rate=card["rate"],
        rest=f"by {whose(card)}: {card['counted']:,} faces" if used_crowd else f"by {whose(card)}",
    )
    return intro + "\n" + figures_table(head, rows)


def whose(card: Row) -> str:
    """Of the label set that users get."""
    return "people's label" if card["label_set"] == LabelSet.CROWD else "FER2013's label"


def priors(card: Row) -> str:
    """Both priors side by side; empty where the weights do not say how common labels were."""
    if not card["priors"]:
        return ""
    head = ["path", "prior", "accuracy", "macro F1", "macro recall", *LABELS]
    rows = [
        [
            f"`{name}`",
            prior,
            f"{row['accuracy']:.2%}",
            _figure(row["macro_f1"], ".3f"),
            _figure(row["macro_recall"], ".3f"),
            *(_figure(row["recall"][label], ".1%") for label in LABELS),
        ]
        for name, by_prior in card["priors"].items()
        for prior, row in by_prior.items()
    ]
    by_prior = card["priors"][TOGETHER]
    natural, even = (by_prior[one]["recall"] for one in (Prior.NATURAL, Prior.BALANCED))
    found = "\n".join(
        f"- `{label}` is found on {_figure(natural[label], '.1%')} of its faces, under `balanced` "
        f"on {_figure(even[label], '.1%')};"
        for label in RARE
        if natural[label] is not None
    )
    intro = _PRIORS.format(whose=whose(card), together=TOGETHER, found=found)
    return intro + "\n" + figures_table(head, rows)


def _by_people(row: Row) -> list[str]:
    return [*_hits(row), _figure(row["macro_f1"], ".3f"), _figure(row["cross_entropy"], ".3f")]


def _hits(row: Row) -> list[str]:
    without = row.get("accuracy_without_copies")
    low, high = row["interval_95"]
    return [f"{row['accuracy']:.2%}", f"{low:.1%} to {high:.1%}", _figure(without, ".2%")]


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
