"""Budgets of memory for what callers send: bodies and messages, and pictures as they unpack."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Self

from splitfer.shared.deadline import Deadline
from splitfer.shared.errors import DeadlineExceeded, NotReady, Overloaded, PayloadTooLarge


class ByteBudget:
    """``most_bytes`` that callers share. For any thread.

    A caller may hold as much as is left beside it (dynamic thresholds, Choudhury and Hahne, 1998):
    one alone gets half, or the whole for a single thing, and the next one finds room in any case.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._held: Counter[str] = Counter()
        self._held_bytes = 0
        self._closed = False
        self._given_back = threading.Condition()

    @property
    def held_bytes(self) -> int:
        """Bytes that are taken, by all callers together."""
        return self._held_bytes

    def take(self, owner: str, size: int) -> None:
        """So much of it, until ``give_back``.

        Raises:
            Overloaded: it is not there for this caller now.
        """
        with self._given_back:
            if not self._fits(owner, size):
                raise Overloaded("what is being received and read takes all memory that it may")
            self._take(owner, size)

    def wait_for(self, owner: str, size: int, deadline: Deadline) -> None:
        """The same, once it is there. It blocks its thread.

        Raises:
            PayloadTooLarge: it never will be.
            DeadlineExceeded: it was not, in time.
            NotReady: closed, before or meanwhile.
        """
        if size > self.most_bytes:
            raise PayloadTooLarge(
                f"this takes {size} bytes of memory; at most {self.most_bytes} (in_flight_bytes)"
            )
        with self._given_back:
            left_s = max(0.0, deadline.remaining_ms() / 1000)
            if not self._given_back.wait_for(
                lambda: self._closed or self._fits(owner, size), left_s
            ):
                raise DeadlineExceeded("the deadline passed before there was memory for it")
            if self._closed:
                raise NotReady("the server is stopping")
            self._take(owner, size)

    def close(self) -> None:
        """Let every ``wait_for`` raise ``NotReady``."""
        with self._given_back:
            self._closed = True
            self._given_back.notify_all()

    def give_back(self, owner: str, size: int) -> None:
        """Return bytes that ``take`` or ``wait_for`` took."""
        with self._given_back:
            self._held_bytes -= size
            self._held[owner] -= size
            if self._held[owner] <= 0:
                del self._held[owner]
            self._given_back.notify_all()

    def _fits(self, owner: str, size: int) -> bool:
        left = self.most_bytes - self._held_bytes
        held = self._held[owner]
        return size <= left and (not held or held + size <= left)

    def _take(self, owner: str, size: int) -> None:
        self._held_bytes += size
        self._held[owner] += size


class StandingPart(ByteBudget):
    """Up to ``most_bytes`` of ``whole`` for what callers may hold for as long as they please, such
    as open streams: shared as the whole is, and the rest of it is left to what ends by itself."""

    def __init__(self, whole: ByteBudget, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self._whole = whole

    def take(self, owner: str, size: int) -> None:
        """So much of it, until ``give_back``.

        Raises:
            Overloaded: it is not there for this caller now, of the part or of the whole.
        """
        super().take(owner, size)
        try:
            self._whole.take(owner, size)
        except Overloaded:
            super().give_back(owner, size)
            raise

    def give_back(self, owner: str, size: int) -> None:
        """What was taken."""
        self._whole.give_back(owner, size)
        super().give_back(owner, size)


class Held:
    """What ``owner`` holds of ``budget`` for one thing, as it grows and shrinks, until ``leave``.

    Raises:
        Overloaded: ``size`` is not there.
    """

    __slots__ = ("_budget", "_owner", "size")

    def __init__(self, budget: ByteBudget, owner: str, size: int = 0) -> None:
        self._budget, self._owner, self.size = budget, owner, 0
        self.become(size)

    def become(self, size: int) -> None:
        """So much from now on.

        Raises:
            Overloaded: it is more, and not there; it stays as it was.
        """
        if size > self.size:
            self._budget.take(self._owner, size - self.size)
        elif size < self.size:
            self._budget.give_back(self._owner, self.size - size)
        self.size = size

    def leave(self) -> None:
        """Nothing any more."""
        self.become(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
