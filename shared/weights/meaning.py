"""Whether weights are what their fingerprint stands for.

A fingerprint is made where the network was trained, of tensors that the exported head no longer
holds as they were: it cannot be made again from the folder. So what it covers has a hash of its
own, over the same things as they stand in the folder. A manifest carries it; those of the weights
that are shipped stand in ``MEANINGS``, since those folders may be altered, and the package not.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splitfer.shared.weights.manifest import Manifest

_KNOWN = Path(__file__).parent / "MEANINGS"


def meaning_of(manifest: Manifest) -> str:
    """SHA-256 (hex) of what decides what a latent means: head, quantiser, entropy tables, labels,
    and the way a crop is made."""
    crop = manifest.crop
    covered = {
        "labels": manifest.labels,
        "crop": [crop.scale, crop.shift_x, crop.shift_y, crop.detail_px, crop.reduce],
        "gains": [list(rate.gains) for rate in manifest.rates],
        "limit": manifest.symbol_limit,
        "entropy": manifest.entropy.sha256 if manifest.entropy else None,
        "head": manifest.head.sha256,
    }
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def stands_for_its_fingerprint(manifest: Manifest) -> bool:
    """Whether nothing that the fingerprint covers was changed, as far as that can be told: of
    weights that are not shipped, and were written before manifests had a ``meaning``, it cannot."""
    said = known_meanings().get(manifest.fingerprint, manifest.meaning)
    return said is None or said == meaning_of(manifest)


@cache
def known_meanings() -> dict[str, str]:
    """The meaning of each fingerprint that was ever shipped."""
    return dict(line.split() for line in _KNOWN.read_text().splitlines())
