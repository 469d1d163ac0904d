"""What MQTT and webhook have in common, which send what waits in the outbox."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

from splitfer.edge_client.sinks.outbox_file import Waiting

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LATE_S = 5.0
"""What waited longer is no news."""


def message_body(answer: Waiting, late: bool) -> bytes:
    """The record as it is sent: with the ``id`` by which a reader knows it again, and whether it
    is ``late``."""
    head = json.dumps({"id": answer.id, "late": late}).encode()
    return head[:-1] + b", " + answer.body[1:]


def waits(
    closed: threading.Event, jitter: Callable[[], float], worked: Callable[[], bool]
) -> Iterator[None]:
    """A turn at once, and further ones until ``closed``: after a wait that doubles from turn to
    turn, up to ``LONGEST_WAIT_S``, and is short again after one that ``worked``. ``jitter`` gives
    0 to 1: half of the wait is chance, so that devices do not come in step."""
    wait_s = FIRST_WAIT_S
    while not closed.is_set():
        yield
        wait_s = FIRST_WAIT_S if worked() else wait_s
        if closed.wait(wait_s * (0.5 + 0.5 * jitter())):
            return
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
