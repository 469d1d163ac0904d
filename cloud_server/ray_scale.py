"""How far the Ray engine spreads out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RayScale:
    """Replicas and their bounds; used with ``engine: ray`` alone.

    ``tail_ongoing`` is the calls under way in each tail replica that the autoscaler aims at.
    ``tail_queued_max`` calls may wait in one ingress replica for a tail replica with room; more
    are refused as ``overloaded``.
    """

    ingress_replicas: int = 1
    # 0: an ingress replica takes no place of its own. On a cluster give it a core.
    ingress_cpus: float = 0
    tail_replicas_min: int = 1
    tail_replicas_max: int = 2
    tail_cpus: float = 1
    tail_ongoing: float = 8
    tail_queued_max: int = 64

    def problem(self) -> str | None:
        """What is wrong with it, None where nothing is."""
        if self.ingress_replicas < 1 or self.tail_replicas_min < 1:
            return "there is at least one replica"
        if self.tail_replicas_max < self.tail_replicas_min:
            return "tail_replicas_max is at least tail_replicas_min"
        if self.ingress_cpus < 0 or self.tail_cpus < 0:
            return "ingress_cpus and tail_cpus are at least 0"
        if self.tail_ongoing <= 0 or self.tail_queued_max < 1:
            return "tail_ongoing and tail_queued_max are more than 0"
        return None
