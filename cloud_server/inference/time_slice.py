"""How long a thread runs before the kernel gives its core to another one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys

# sched_setattr(2); glibc has a name for it only since 2.41.
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_ATTR = struct.Struct("=IIQiIQQQ")
_MOST_NICE = 19


def take_turns(slice_ms: float, nice: int = 0) -> None:
    """Let this thread run for so long, 0.1 to 100 ms, before another one gets its core. With
    ``nice`` it gives way to the process's other ones, for good.

    Linux has slices since 6.12, for anybody; before, its scheduler ignores them.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    # A sandbox may forbid any of it: then the thread goes on as it is.
    with contextlib.suppress(OSError):
        nice = min(_MOST_NICE, nice + os.getpriority(os.PRIO_PROCESS, 0))
        attributes = _ATTR.pack(
            _ATTR.size, os.sched_getscheduler(0), 0, nice, 0, round(slice_ms * 1e6), 0, 0
        )
        ctypes.CDLL(None).syscall(number, 0, ctypes.create_string_buffer(attributes, _ATTR.size), 0)
