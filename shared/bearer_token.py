"""What a bearer token may consist of."""

from __future__ import annotations

_SHORTEST = 16


def token_fault(token: str) -> str | None:
    """Why ``token`` cannot stand in a header; None where it can. It is not quoted."""
    if "\n" in token or "\r" in token:
        return "holds a line break, perhaps from the file it was read from; leave that out"
    if any(c.isspace() for c in token):
        return "holds a space or a tab; leave it out"
    if not token.isascii():
        return "holds a letter outside ASCII; a token is made of ASCII letters, digits and signs"
    if not token.isprintable():
        return "holds a control character; a token is made of ASCII letters, digits and signs"
    return None


def weak_token_fault(token: str) -> str | None:
    """Why a server must not let anybody in by ``token``; None where it may. It is not quoted."""
    fault = token_fault(token)
    if fault is None and len(token) < _SHORTEST:
        fault = (
            f"is shorter than {_SHORTEST} characters and can be guessed; make one with "
            "'cloud-server token new'"
        )
    elif fault is None and len(set(token)) == 1:
        fault = "is one character over and over, as where a secret was masked; set the token itself"
    return fault
