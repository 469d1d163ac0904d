"""Settings of the Ray engine: how many replicas, and their bounds."""

from __future__ import annotations

from dataclasses import dataclass

from splitfer.cloud_server.settings.bounds import MANY


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
        if not (1 <= self.ingress_replicas <= MANY and 1 <= self.tail_replicas_min <= MANY):
            return f"there is at least one replica, and at most {MANY}"
        if not self.tail_replicas_min <= self.tail_replicas_max <= MANY:
            return f"tail_replicas_max is at least tail_replicas_min, and at most {MANY}"
        if not (0 <= self.ingress_cpus <= MANY and 0 <= self.tail_cpus <= MANY):
            return f"ingress_cpus and tail_cpus are at least 0, and at most {MANY}"
        if not (0 < self.tail_ongoing <= MANY and 1 <= self.tail_queued_max <= MANY):
            return f"tail_ongoing and tail_queued_max are more than 0, and at most {MANY}"
        return None
