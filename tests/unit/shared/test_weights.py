from __future__ import annotations

from pathlib import Path

from shared.weights import Weights


def test_exported_weights_load_and_pass_their_golden_checks(weights_folder: Path) -> None:
    weights = Weights(weights_folder)
    assert weights.manifest.fingerprint == weights_folder.name
    weights.head(1)
    for name in weights.manifest.tails:
        weights.tail(name, 1)


def test_other_weights_have_another_fingerprint(
    weights_folder: Path, other_weights_folder: Path
) -> None:
    theirs = Weights(other_weights_folder).manifest.fingerprint
    assert theirs == other_weights_folder.name
    assert theirs != Weights(weights_folder).manifest.fingerprint
