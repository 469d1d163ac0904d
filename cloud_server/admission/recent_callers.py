"""Who has asked lately, and so may ask again any moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from splitfer.shared.deadline import Clock

# So long after its last request a caller is still reckoned with.
_LATELY_S = 10.0


class RecentCallers:
    """Callers by their accounts' keys. Belongs to one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_s: OrderedDict[str, float] = OrderedDict()  # who asked last stands last

    def asked(self, owner: str) -> None:
        """One asks now."""
        now_s = self._clock()
        self._asked_s[owner] = now_s
        self._asked_s.move_to_end(owner)
        while self._asked_s:
            first, asked_s = next(iter(self._asked_s.items()))
            if asked_s >= now_s - _LATELY_S:
                break
            del self._asked_s[first]

    def __iter__(self) -> Iterator[str]:
        """Those who did lately, the latest first."""
        since_s = self._clock() - _LATELY_S
        for owner, asked_s in reversed(self._asked_s.items()):
            if asked_s < since_s:
                return
            yield owner
