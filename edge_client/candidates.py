"""The ways to an answer that the weights offer, with the accuracy they were measured to have."""

from __future__ import annotations

from collections.abc import Iterable

from edge_client.prediction import Candidate
from shared.contracts import Path
from shared.weights.manifest import LOCAL_TAIL, Manifest

# A picture is searched and cropped after JPEG has been over it.
IMAGE_ACCURACY_LOSS = 0.005


def candidates(
    manifest: Manifest, rate: str = "", image: bool = False, together: bool = False
) -> tuple[Candidate, ...]:
    """`local`, then `cloud` at each rate, or at ``rate`` alone, then `image` if asked for.

    With ``together``, `cloud` is that together with the device's own answer, where both were
    measured to be better than the server's alone.

    Accuracies are of one part of the data, measured for all of them. Where none was, the server's
    tail is taken to be the better one, and more bytes to be better than fewer.
    """
    tail = manifest.default_tail
    measured = {
        one.name: one.accuracy.get(tail)
        or (manifest.tails[tail].accuracy if one.name == manifest.default_rate else {})
        for one in manifest.rates
    }
    local = manifest.tails[LOCAL_TAIL].accuracy
    part = _common_part([local, *measured.values()])
    if part is not None:
        by_rate = {name: accuracy[part] for name, accuracy in measured.items()}
        own = local[part]
    else:
        by_rate = {one.name: 0.01 * (99 - n) for n, one in enumerate(manifest.rates)}
        own = 0.0
    ways = [Candidate(Path.LOCAL, own)]
    for one in manifest.rates:
        if rate in ("", one.name):
            alone = by_rate[one.name]
            both = one.together.get(tail, {}).get(part or "", 0.0) if together else 0.0
            ways.append(Candidate(Path.CLOUD, max(alone, both), one.name, both > alone))
    if image:
        ways.append(Candidate(Path.IMAGE, by_rate[manifest.default_rate] - IMAGE_ACCURACY_LOSS))
    return tuple(ways)


def _common_part(accuracies: Iterable[dict[str, float]]) -> str | None:
    parts = set.intersection(*map(set, accuracies))
    return min(parts, default=None)
