"""What was served, counted."""

from __future__ import annotations

from collections import Counter


class Metrics:
    """Requests and faces by outcome, ``ok`` or an error's code, and latents that could be read by
    ``<fingerprint>/<rate>``. One event loop writes it."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.faces: Counter[str] = Counter()
        self.latents: Counter[str] = Counter()

    def summary(self) -> str:
        """One line for the log."""

        def counted(what: Counter[str]) -> str:
            each = ", ".join(f"{n} {outcome}" for outcome, n in what.most_common())
            return f"{what.total()} ({each})" if each else "0"

        return (
            f"requests {counted(self.requests)}; faces {counted(self.faces)}; "
            f"latents {counted(self.latents)}"
        )
