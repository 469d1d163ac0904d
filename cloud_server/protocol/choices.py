"""Label sets and priors, as requests name them."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from splitfer.cloud_server.weights.served import quoted
from splitfer.shared.errors import MalformedPayload
from splitfer.shared.labels import LabelSet
from splitfer.shared.prior import Prior

Kind = TypeVar("Kind", bound=StrEnum)


def wanted_labels(word: str) -> LabelSet | None:
    """The label set that a request names; None where it names none.

    Raises:
        MalformedPayload: there is no such label set.
    """
    return _wanted(LabelSet, "labels", word)


def wanted_prior(word: str) -> Prior | None:
    """The prior that a request names; None where it names none.

    Raises:
        MalformedPayload: there is no such prior.
    """
    return _wanted(Prior, "prior", word)


def _wanted(kind: type[Kind], key: str, word: str) -> Kind | None:
    if not word:
        return None
    try:
        return kind(word)
    except ValueError:
        raise MalformedPayload(
            f"{key}: no {quoted(word)}; there are {', '.join(one.value for one in kind)}"
        ) from None
