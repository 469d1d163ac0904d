"""Manifests of earlier schemas, in the form of today's.

Before schema 3 a tail had one label set, FER2013's, and its figures stood beside its file:

    tails  {id: {file, path, temperature, accuracy, log_loss}}
    rates  [{name, temperature: {id: t}, accuracy: {id: a}, log_loss: {id: l}, together: {id: b}}]

Now they stand per label set, under ``answers`` and ``together``.
"""

from __future__ import annotations

from typing import Any

from splitfer.shared.labels import LabelSet

MANIFEST_VERSION = 3
_FIGURES = ("temperature", "accuracy", "log_loss")


def as_of_now(said: object) -> object:
    """What a manifest of any schema says, in fields of now. What cannot be a manifest is given
    back as it is: whoever reads it on finds what is wrong."""
    if not isinstance(said, dict) or said.get("schema_version", MANIFEST_VERSION) not in (1, 2):
        return said
    tails, rates = said.get("tails"), said.get("rates", [])
    if not isinstance(tails, dict) or not isinstance(rates, list | tuple):
        return said
    changed: dict[str, Any] = {"schema_version": MANIFEST_VERSION}
    changed["tails"] = {name: _tail(entry) for name, entry in tails.items()}
    if "rates" in said:
        changed["rates"] = [_rate(entry, tails) for entry in rates]
    return said | changed


def _tail(entry: object) -> object:
    if not isinstance(entry, dict) or "answers" in entry:
        return entry
    rest, figures = _apart(entry)
    return {**rest, "answers": {LabelSet.FER2013: figures}}


def _rate(entry: object, tails: dict[str, Any]) -> object:
    if not isinstance(entry, dict) or "answers" in entry:
        return entry
    rest, figures = _apart(entry)
    together = rest.pop("together", {})
    if not all(isinstance(by_tail, dict) for by_tail in (together, *figures.values())):
        return entry
    answers: dict[str, Any] = {}
    for name in dict.fromkeys(name for by_tail in figures.values() for name in by_tail):
        own = tails.get(name)
        # A rate without a temperature had the tail's.
        known = {"temperature": own.get("temperature")} if isinstance(own, dict) else {}
        known |= {kind: by_tail[name] for kind, by_tail in figures.items() if name in by_tail}
        answers[name] = {LabelSet.FER2013: known}
    both = {name: {LabelSet.FER2013: one} for name, one in together.items()}
    return {**rest, "answers": answers, "together": both}


def _apart(entry: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split an entry into the figures and everything else."""
    rest = {key: value for key, value in entry.items() if key not in _FIGURES}
    return rest, {key: entry[key] for key in _FIGURES if key in entry}
