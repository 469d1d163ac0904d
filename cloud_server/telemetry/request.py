"""The request that a task works on: what its log lines, its metrics and its span say of it."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

NONE = "none"
OK = "ok"
REQUEST_ID = "x-request-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Unique among servers by its first part and within one by its second; cheaper than random.
_PREFIX, _NUMBERS = secrets.token_hex(4), itertools.count(1)


@dataclass(slots=True, eq=False)
class Request:
    """One request from its arrival to its end. ``protocol``, ``method``, ``path``, ``version`` and
    ``code`` are words of ours, never a peer's, so that they can be labels."""

    protocol: str
    method: str
    id: str
    path: str = NONE
    version: str = NONE
    code: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0
    start_s: float = field(default_factory=time.perf_counter)
    trace_id: str = ""
    span: Any = None

    @property
    def ms(self) -> float:
        """Milliseconds since its arrival."""
        return (time.perf_counter() - self.start_s) * 1000


_current: ContextVar[Request | None] = ContextVar("request", default=None)


def current() -> Request | None:
    """The running task's request, if it works on one."""
    return _current.get()


def bind(request: Request) -> None:
    """Make it the running task's. Tasks that this one starts inherit it."""
    _current.set(request)


def set_route(path: str, fingerprint: str) -> None:
    """Note which path the current request takes, and the weights that answer it."""
    if (request := _current.get()) is not None:
        request.path, request.version = path, short_fingerprint(fingerprint)


def set_error(code: str) -> None:
    """Note that the current request ends with the error of this code."""
    if (request := _current.get()) is not None:
        request.code = code


def short_fingerprint(fingerprint: str) -> str:
    """The first digits of a fingerprint, as labels of metrics show it."""
    return fingerprint[:8]


def request_id(given: str | None) -> str:
    """The caller's id where it is well-formed, else a new one: what goes into logs and back to the
    caller must not be able to break either."""
    if given and _WELL_FORMED.fullmatch(given):
        return given
    return f"{_PREFIX}-{next(_NUMBERS):x}"
