"""What may be changed of a run while it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from splitfer.edge_client.choices import Policy

_log = logging.getLogger(__name__)


class Control:
    """Whether frames are answered, and by which policy. Safe to use from several threads.

    ``policies`` are those that may be chosen; ``apply`` makes the recognizer obey. ``changed`` is
    called with each change in words: what, and by whom.
    """

    def __init__(
        self,
        policy: Policy,
        policies: Sequence[Policy],
        apply: Callable[[Policy], None],
        changed: Callable[[str, str], None] = lambda what, by: None,
    ) -> None:
        self.policies = tuple(policies)
        self._policy = policy
        self._apply, self._changed = apply, changed
        self._paused = threading.Event()
        self._lock = threading.Lock()

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def paused(self) -> bool:
        """Whether frames go by unanswered."""
        return self._paused.is_set()

    def choose(self, policy: str, by: str) -> None:
        """Answer by another policy from the next frame on.

        Raises:
            ValueError: there is no such policy here; says which there are.
        """
        names = [one.value for one in self.policies]
        if policy not in names:
            raise ValueError(f"no policy {policy[:20]!r} here; choose {', '.join(names)}")
        with self._lock:
            chosen = Policy(policy)
            if chosen is not self._policy:
                self._apply(chosen)
                self._policy = chosen
                self._tell(f"policy {policy}", by)

    def follow(self, policy: Policy) -> None:
        """Another one chose the policy, which is common."""
        self._policy = policy

    def pause(self, paused: bool, by: str) -> None:
        """Answer no more frames, or answer them again."""
        with self._lock:
            if paused != self.paused:
                (self._paused.set if paused else self._paused.clear)()
                self._tell("paused" if paused else "resumed", by)

    def obey(self, asked: Mapping[str, Any], by: str = "the live page") -> None:
        """``{"paused": bool}``, ``{"policy": name}`` or both.

        Raises:
            ValueError: it is something else; nothing was changed, or the pause alone.
        """
        if not asked or asked.keys() - {"paused", "policy"}:
            raise ValueError("expected paused, policy or both")
        if "paused" in asked:
            if not isinstance(asked["paused"], bool):
                raise ValueError("paused is true or false")
            self.pause(asked["paused"], by)
        if "policy" in asked:
            self.choose(str(asked["policy"]), by)

    def _tell(self, what: str, by: str) -> None:
        _log.warning("%s, by %s", what, by)
        self._changed(what, by)
