"""How common each label is before a face is looked at, and what that makes of an answer.

A network learns how common each class is in what it is shown. ``balanced`` takes that out again.
Where the picture shows little, ``drawn_to_prior`` leaves little but that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Prior(StrEnum):
    """Classes as common as in training, or all alike."""

    NATURAL = "natural"
    BALANCED = "balanced"


# Where none is asked for, and the weights say how common the classes were.
DEFAULT_PRIOR = Prior.NATURAL
# Where an answer is uncertain if no setting says otherwise: its confidence, which has fallen with
# the quality of the face's picture, is below. Chosen on the curve of risk over coverage, see
# docs/figures/measuring.md.
UNCERTAIN_BELOW = 0.5


def balanced(
    probabilities: NDArray[np.floating[Any]], prior: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """What the answers would be if every label were equally frequent.

    Bayes' rule with an even prior in place of ``prior``: ``p / prior``, brought back to a sum of
    one. This is the logit adjustment after training of Menon et al. ("Long-tail learning via logit
    adjustment", 2021, section 4.1, tau = 1): the logits less the logarithm of the prior. It finds
    more faces of rare labels, for more false ones among them: the mean recall rises where
    ``probabilities`` are calibrated, accuracy on faces spread as ``prior`` falls.

    ``probabilities`` float32 ``(N, 7)``, rows sum to one; ``prior`` ``(7,)`` above zero, the share
    of each label in training (its scale does not matter). Gives float32 ``(N, 7)``, rows sum to
    one.

    Raises:
        ValueError: ``prior`` is of another length, or not everywhere finite and above zero.
    """
    import numpy as np  # not above: a command line that only names the priors needs none

    if prior.shape != probabilities.shape[-1:]:
        raise ValueError(
            f"a prior of shape {prior.shape} for {probabilities.shape[-1]} probabilities a face"
        )
    if not (np.isfinite(prior).all() and (prior > 0).all()):
        raise ValueError(f"every label's prior must be finite and above zero, not {prior.tolist()}")
    # In double precision: a small prior may lift what float32 has no digits for.
    weighed = probabilities.astype(np.float64) * (prior.min() / prior.astype(np.float64))
    return np.asarray(weighed / weighed.sum(axis=-1, keepdims=True), np.float32)


def drawn_to_prior(
    probabilities: NDArray[np.floating[Any]],
    prior: NDArray[np.floating[Any]],
    quality: NDArray[np.floating[Any]] | float,
) -> NDArray[np.float64]:
    """What to believe where the picture may have shown nothing: ``prior + quality * (p - prior)``.

    The mean of the answer and of what is known without a picture, by ``quality``, the share that
    is left of the accuracy on good pictures (``splitfer.shared.vision.quality``). ``probabilities``
    ``(..., 7)``, calibrated on good pictures; ``prior`` ``(7,)``, how common the answer takes each
    label to be (its scale does not matter); ``quality`` ``(...)`` or one number, 0 to 1. Gives
    float64 ``(..., 7)``, whose rows sum to one where those of ``probabilities`` do.
    """
    import numpy as np

    even = prior.astype(np.float64) / prior.sum()
    weight = np.asarray(quality, np.float64)[..., None]
    return np.asarray(even + weight * (probabilities.astype(np.float64) - even))
