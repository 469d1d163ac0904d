"""The ways to an answer that the weights offer, with the accuracy they were measured to have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from splitfer.edge_client.policy.prediction import Route
from splitfer.shared.contracts import AnswerPath
from splitfer.shared.labels import LabelSet
from splitfer.shared.weights.manifest import LOCAL_TAIL, Manifest, Measured, RateEntry, Together

# A picture is searched and cropped after JPEG has been over it.
IMAGE_ACCURACY_LOSS = 0.005
IMAGE_LOG_LOSS = 0.01

ByPart = dict[str, float]


def candidates(
    manifest: Manifest,
    rate: str = "",
    image: bool = False,
    together: bool = False,
    label_set: LabelSet | None = None,
    local_tail: str = LOCAL_TAIL,
) -> tuple[Route, ...]:
    """`local`, then `cloud` at each rate, or at ``rate`` alone, then `image` if asked for.

    What was measured is that of ``label_set``, else of the weights' default.

    With ``together``, `cloud` is that together with the device's own answer, where both were
    measured to be better than the server's alone; that was measured with the backbone. `local` is
    ``local_tail``. `image` is what the backbone answers, whatever ``local_tail`` is.

    Accuracies are of one part of the data, measured for all of them, and so are log losses. Where
    no accuracy was, the server's tail is taken to be the better one, and more bytes to be better
    than fewer.
    """
    label_set = label_set or manifest.default_label_set
    tail, local = manifest.default_tail, manifest.tails[local_tail].answers[label_set]
    alone = {one.name: _measured(manifest, one, label_set) for one in manifest.rates}
    part = _common_part([local.accuracy, *(accuracy for accuracy, _ in alone.values())])
    if part is None:
        ways = [Route(AnswerPath.LOCAL, 0.0)]
        ways += [Route(AnswerPath.CLOUD, 0.01 * (99 - n), name) for n, name in enumerate(alone)]
    else:
        ways = [Route(AnswerPath.LOCAL, local.accuracy[part], log_loss=local.log_loss.get(part))]
        ways += [
            Route(AnswerPath.CLOUD, accuracy[part], name, log_loss=log_loss.get(part))
            for name, (accuracy, log_loss) in alone.items()
        ]
    if any(one.log_loss is None for one in ways):
        ways = [replace(one, log_loss=None) for one in ways]
    own = ways[0]
    ways = [one for one in ways if one.path is AnswerPath.LOCAL or rate in ("", one.rate)]
    if together and local_tail == LOCAL_TAIL:
        both = {one.name: one.together.get(tail, {}).get(label_set) for one in manifest.rates}
        ways = [_with_own(one, both.get(one.rate), part) for one in ways]
    if image:
        ways.append(_image(own, manifest.tails[LOCAL_TAIL].answers[label_set], part))
    return tuple(ways)


def _image(own: Route, backbone: Measured, part: str | None) -> Route:
    """The backbone's answer on the server; ``own`` is the device's, and like it where that was not
    measured."""
    accuracy = backbone.accuracy.get(part or "", own.accuracy)
    log_loss = None if own.log_loss is None else backbone.log_loss.get(part or "", own.log_loss)
    return Route(
        AnswerPath.IMAGE,
        accuracy - IMAGE_ACCURACY_LOSS,
        log_loss=None if log_loss is None else log_loss + IMAGE_LOG_LOSS,
    )


def _with_own(one: Route, both: Together | None, part: str | None) -> Route:
    """The way together with the device's own answer, where that is better."""
    if both is None or part not in both.accuracy or part not in both.log_loss:
        return one
    log_loss = None if one.log_loss is None else both.log_loss[part]
    mean = replace(one, accuracy=both.accuracy[part], log_loss=log_loss, together=True)
    return max(one, mean, key=lambda way: way.merit)


def _measured(manifest: Manifest, rate: RateEntry, label_set: LabelSet) -> tuple[ByPart, ByPart]:
    """Accuracy and log loss of the default tail at a rate, by data part."""
    tail = manifest.default_tail
    own = manifest.tails[tail].answers[label_set]
    of_tail = (own.accuracy, own.log_loss) if rate.name == manifest.default_rate else ({}, {})
    found = rate.answers.get(tail, {}).get(label_set)
    if found is None:
        return of_tail
    return found.accuracy or of_tail[0], found.log_loss or of_tail[1]


def _common_part(accuracies: Iterable[ByPart]) -> str | None:
    parts = set.intersection(*map(set, accuracies))
    return min(parts, default=None)
