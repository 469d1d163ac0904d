"""Until when the reply to a call is of use."""

from __future__ import annotations

from typing import Any

import grpc

from splitfer.shared.deadline import Deadline


def deadline_of(context: grpc.aio.ServicerContext[Any, Any], default_ms: float) -> Deadline:
    """The caller's deadline; ``default_ms`` from now where it named none."""
    left_s = context.time_remaining()
    return Deadline.after_ms(default_ms if left_s is None else left_s * 1000)
