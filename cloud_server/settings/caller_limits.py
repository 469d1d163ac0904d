"""Settings that bound what one caller may ask."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from splitfer.cloud_server.settings.bounds import MANY


class CallerLimits(BaseModel):
    """Bounds on one caller; None bounds nothing.

    ``burst`` requests may come at once after a silence: those of one second where it is None.
    ``faces_per_s`` counts the faces of all its requests, and ``busy_share`` the seconds a second
    that networks, decoders and searches are busy for it: both are charged when they are known, and
    who owes anything waits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_s: Annotated[float | None, Field(gt=0, le=1e6)] = None
    burst: Annotated[int | None, Field(ge=1, le=MANY)] = None
    concurrent: Annotated[int | None, Field(ge=1, le=MANY)] = None
    faces_per_s: Annotated[float | None, Field(gt=0, le=1e6)] = None
    busy_share: Annotated[float | None, Field(gt=0, le=1e6)] = None

    @property
    def most_at_once(self) -> float:
        """What a full bucket holds; at least one request, else none would ever be let in."""
        if self.requests_per_s is None:
            return math.inf
        return float(self.burst or max(1.0, self.requests_per_s))
