"""Answers measured by what ten people said (FER+), not by FER2013's single label.

Accuracy by FER+'s majority protocol and by people's first choice, macro figures over the seven
labels, cross entropy and calibration against the distribution of the votes, and accuracy by how far
people agree. ``training.data.votes`` says which pictures count for what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import calibration as by_answer
from benchmarks.accuracy.calibration import BINS, coverage, equal_mass, equal_width, expected_error
from benchmarks.common.bootstrap import DRAWS, SEED, interval
from splitfer.shared.labels import LABELS
from training.data.datasets import DataError
from training.data.votes import CONTEMPT, Votes
from training.study.figure_file import save_figure

Row = dict[str, Any]
# Under this a probability counts as this in a logarithm.
LEAST = 1e-7
# Of simulated votes; the mean over them is exact to far more digits than are told.
FLOOR_DRAWS = 200
# Upper ends of the bins of entropy in nats: all agree; one, two, three or more of ten differ.
ENTROPY_EDGES = (0.0, 0.4, 0.6, 0.7, 0.9, 1.1, 1.95)
# A bin of fewer faces is not drawn.
FEWEST = 20


def measure(probabilities: NDArray[np.float32], votes: Votes) -> Row:
    """Every figure of answers float32 ``(N, 7)`` (rows sum to one) to the faces of ``votes``.

    ``protocol`` and ``plurality``: accuracy, and the n of faces it is over. ``recall``,
    ``macro_recall`` and ``macro_f1``: over the faces of the protocol; contempt is no label of its
    own there, but its faces are among the false answers that F1 knows of; labels without a face are
    left out of the means. ``cross_entropy`` in nats, with the floor that no answers can beat; the
    figures of ``calibration``; ``by_entropy``: a row a bin. Figures without a face to them are
    None.

    Raises:
        ValueError: ``probabilities`` are not ``(N, 7)`` for the N of ``votes``.
    """
    if probabilities.shape != (len(votes), len(LABELS)):
        raise ValueError(f"probabilities {probabilities.shape} for the votes of {len(votes)} faces")
    answers = probabilities.argmax(axis=1)
    labels, chosen = votes.protocol()
    first, usable = votes.plurality()
    return {
        "protocol": _accuracy((answers == labels)[chosen]),
        "plurality": _accuracy((answers == first)[usable]),
        **by_label(labels[chosen], answers[chosen]),
        "cross_entropy": cross_entropy(probabilities[usable], votes.subset(usable)),
        "cross_entropy_floor": _rounded(votes.cross_entropy_floor()),
        **calibration(probabilities[usable], votes.subset(usable)),
        "voter_is_protocol": _rounded(votes.agreement()),
        "by_entropy": by_entropy(answers, votes),
    }


def by_label(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Row:
    """``recall`` by label, ``macro_recall`` and ``macro_f1`` of faces ``(N,)``.

    ``labels`` may be ``CONTEMPT``; ``answers`` are an index into ``LABELS``.
    """
    faces = np.bincount(labels, minlength=CONTEMPT + 1)[:CONTEMPT]
    given = np.bincount(answers, minlength=CONTEMPT)
    right = np.bincount(labels[labels == answers], minlength=CONTEMPT)[:CONTEMPT]
    some = faces > 0
    recall = right / np.maximum(faces, 1)
    f1 = 2 * right / np.maximum(faces + given, 1)
    return {
        "macro_f1": _mean(f1[some]),
        "macro_recall": _mean(recall[some]),
        "recall": {
            name: _rounded(recall[place]) if some[place] else None
            for place, name in enumerate(LABELS)
        },
    }


def cross_entropy(probabilities: NDArray[np.float32], votes: Votes) -> float | None:
    """Mean over the faces of minus the sum of vote share x log probability, in nats."""
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), LEAST))
    return _mean(-(votes.distribution * logarithms).sum(axis=1))


def calibration(probabilities: NDArray[np.float32], votes: Votes) -> Row:
    """Expected calibration error of the highest probability against the share of the seven's votes
    that the answer has, over bins as in ``benchmarks.accuracy.calibration``; every face needs such
    a vote.

    ``ece`` over bins of equal width, ``ece_adaptive`` of equal content. With each, what remains at
    this number of faces where nothing is wrong:

    * ``..._floor``: of a perfect model, whose probabilities are those by which each face's voters
      choose. As many voters a face as there were are drawn from ``probabilities``, from the same
      seed.
    * ``..._expected``: of a calibrated model that is no surer of single faces than this one: right
      in the mean of every bin, its faces scattered about it as they are here. An error no larger
      than this is none.
    """
    if not len(probabilities):
        names = ("ece", "ece_floor", "ece_expected")
        return dict.fromkeys((*names, *(name.replace("ece", "ece_adaptive") for name in names)))
    confidence = probabilities.max(axis=1)
    places = np.arange(len(confidence)), probabilities.argmax(axis=1)
    share = votes.distribution[places].astype(np.float64)
    drawn = _drawn_shares(confidence, votes)
    found: Row = {}
    for name, bins in (("ece", equal_width(confidence)), ("ece_adaptive", equal_mass(confidence))):
        floor = [expected_error(confidence, one, bins) for one in drawn]
        found[name] = _rounded(expected_error(confidence, share, bins))
        found[f"{name}_floor"] = _rounded(float(np.mean(floor)))
        found[f"{name}_expected"] = _rounded(_expected_by_chance(confidence - share, bins))
    return found


def calibration_row(probabilities: NDArray[np.float32], votes: Votes) -> Row:
    """The figures of ``benchmarks.accuracy.calibration`` for probabilities ``(N, 7)`` by what
    people said.

    The highest probability is held against the share of the votes that the answer has, over the
    usable faces, since that is what it says; coverage is by the label of FER+'s protocol, over its
    faces. With those of ``calibration``.

    Raises:
        DataError: no face counts.
    """
    labels, chosen = votes.protocol()
    if not chosen.any():
        raise DataError("people agree on none of the faces: too few of them are measured")
    usable = votes.usable
    confidence, answers = probabilities.max(axis=1), probabilities.argmax(axis=1)
    share = votes.distribution[np.arange(len(votes)), answers]
    return {
        **by_answer.row(confidence[usable], share[usable]),
        **calibration(probabilities[usable], votes.subset(usable)),
        "coverage": coverage(confidence[chosen], (answers == labels)[chosen]),
    }


def _drawn_shares(confidence: NDArray[np.float32], votes: Votes) -> NDArray[np.float64]:
    """Shares of the answers' votes ``(FLOOR_DRAWS, N)`` where confidence is the truth."""
    voters = votes.of_the_seven
    rng = np.random.default_rng(SEED)
    truth = np.clip(confidence.astype(np.float64), 0, 1)
    return np.asarray(rng.binomial(voters, truth, (FLOOR_DRAWS, len(truth))) / voters)


def _expected_by_chance(gaps: NDArray[np.float64], bins: NDArray[np.int64]) -> float:
    """The mean calibration error of gaps that scatter as ``gaps`` do in their bins, about zero.

    A bin's sum of n gaps is close to normal with n variances; the mean of its magnitude is
    sqrt(2 / pi) standard deviations.
    """
    n = np.maximum(np.bincount(bins, minlength=BINS), 1)
    mean = np.bincount(bins, gaps, BINS) / n
    variance_sums = np.bincount(bins, (gaps - mean[bins]) ** 2, BINS) * n / np.maximum(n - 1, 1)
    return float(np.sqrt(2 / np.pi * variance_sums).sum() / len(gaps))


def by_entropy(answers: NDArray[np.int64], votes: Votes) -> list[Row]:
    """A row a bin of the votes' entropy (``ENTROPY_EDGES``, nats, upper ends), over usable faces.

    ``accuracy`` by people's first choice with its 95 % interval (the same faces drawn again);
    ``people``: the share of the voters who chose it, which is how often one of them is right. Bins
    without a face are left out.
    """
    first, usable = votes.plurality()
    right, entropy = (answers == first)[usable], votes.entropy[usable]
    people = votes.distribution[usable].max(axis=1)
    # The edges stand for what ten votes can give, so rounding must not lift a face over one.
    bins = np.searchsorted(np.array(ENTROPY_EDGES) + 1e-9, entropy)
    rng = np.random.default_rng(SEED)
    rows = []
    for place, end in enumerate(ENTROPY_EDGES):
        chosen = bins == place
        n = int(chosen.sum())
        if n:
            share = float(right[chosen].mean())
            rows.append(
                {
                    "above": ENTROPY_EDGES[place - 1] if place else None,
                    "to": end,
                    "entropy_mean": _mean(entropy[chosen]),
                    "n": n,
                    "accuracy": _rounded(share),
                    "interval_95": interval(rng.binomial(n, share, DRAWS) / n),
                    "people": _mean(people[chosen]),
                }
            )
    return rows


def table(rows: dict[str, Row]) -> str:
    """What ``measure`` gave, by path, as text."""
    heads = (
        ("protocol", 10),
        ("first choice", 14),
        ("macro F1", 10),
        ("recall", 8),
        ("nats", 8),
        ("ECE", 8),
        ("adaptive", 10),
    )
    lines = [f"{'path':<14}" + "".join(f"{head:>{width}}" for head, width in heads)]
    for name, row in rows.items():
        lines.append(
            f"{name:<14}{_text(row['protocol']['accuracy'], 10, '.2%')}"
            f"{_text(row['plurality']['accuracy'], 14, '.2%')}{_text(row['macro_f1'], 10, '.3f')}"
            f"{_text(row['macro_recall'], 8, '.3f')}{_text(row['cross_entropy'], 8, '.3f')}"
            f"{_text(row['ece'], 8, '.4f')}{_text(row['ece_adaptive'], 10, '.4f')}"
        )
    for row in list(rows.values())[:1]:
        lines.append(
            f"{row['protocol']['n']:,} faces in FER+'s protocol, {row['plurality']['n']:,} with a "
            f"first choice; one voter says the protocol's label in "
            f"{_text(row['voter_is_protocol'], 0, '.2%')}; "
            f"no answers reach less than {_text(row['cross_entropy_floor'], 0, '.3f')} nats"
        )
    for name, row in rows.items():
        recalls = ", ".join(f"{k} {_text(v, 0, '.1%')}" for k, v in row["recall"].items())
        lines.append(
            f"{name}: recall {recalls}; a calibrated model's adaptive error would be "
            f"{_text(row['ece_adaptive_expected'], 0, '.4f')}, a perfect one's "
            f"{_text(row['ece_adaptive_floor'], 0, '.4f')}"
        )
    return "\n".join(lines)


def draw(rows: dict[str, Row], target: Path) -> None:
    """Accuracy by entropy of the votes, a line a path of ``rows``, as a PNG.

    Vertical lines are the intervals; the black line is one of the voters.
    """
    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    told: list[Row] = []
    for place, (name, row) in enumerate(rows.items()):
        told = [one for one in row["by_entropy"] if one["n"] >= FEWEST]
        # Side by side, so that no interval hides another.
        x = np.array([one["entropy_mean"] for one in told]) + 0.008 * (place - (len(rows) - 1) / 2)
        accuracy = np.array([one["accuracy"] for one in told])
        ends = np.array([one["interval_95"] for one in told]).reshape(-1, 2)
        away = np.maximum(np.abs(ends - accuracy[:, None]), 0).T
        axes.errorbar(
            x, 100 * accuracy, yerr=100 * away, marker="o", markersize=4, capsize=2, label=name
        )
    if told:
        x = np.array([one["entropy_mean"] for one in told])
        people = 100 * np.array([one["people"] for one in told])
        axes.plot(x, people, color="black", linestyle="--", label="one of the voters")
        for at, one in zip(x, told, strict=True):
            axes.annotate(
                f"{one['n']:,}",
                (at, 0.01),
                xycoords=("data", "axes fraction"),
                fontsize=8,
                ha="center",
            )
    axes.set(
        xlabel="entropy of the votes, nats (below: faces)",
        ylim=(0, 102),
        ylabel="answers that are people's first choice, %",
    )
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, target, dpi=120)
    plt.close(figure)


def _text(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def _accuracy(right: NDArray[np.bool_]) -> Row:
    return {"accuracy": _mean(right), "n": len(right)}


def _mean(values: NDArray[Any]) -> float | None:
    return _rounded(float(values.mean())) if len(values) else None


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
