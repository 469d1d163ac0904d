"""What a peer said, made fit for one line of a log."""

from __future__ import annotations

LONGEST = 200


def peer_words(text: str, secret: str | None = None, longest: int = LONGEST) -> str:
    """``text`` on one line: ``secret`` masked, what would not print escaped, and at most
    ``longest`` characters."""
    if secret:
        text = text.replace(secret, "***")
    text = text[: longest + 1]  # an escape only makes it longer
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."
