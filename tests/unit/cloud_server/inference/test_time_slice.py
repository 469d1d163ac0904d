"""A thread's time slice, read back from the kernel."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
import threading

import pytest

from splitfer.cloud_server.inference import time_slice
from splitfer.cloud_server.inference.time_slice import take_turns

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_ATTR = struct.Struct("=IIQiIQQQ")


def turns() -> tuple[float, int]:
    """This thread's slice in ms, 0 where the kernel knows none, and how nice it is."""
    got = ctypes.create_string_buffer(_ATTR.size)
    number = _SCHED_GETATTR[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, 0, got, _ATTR.size, 0) == 0
    fields = _ATTR.unpack(got.raw)
    return fields[5] / 1e6, fields[3]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has slices")
@pytest.mark.skipif(platform.machine() not in _SCHED_GETATTR, reason="another processor")
def test_a_thread_gets_its_slices_and_gives_way_and_others_do_not() -> None:
    before_ms, nice = before = turns()
    if not before_ms:
        pytest.skip("this kernel knows no slices")
    got: list[tuple[float, int]] = []

    def run(slice_ms: float, nice: int = 0) -> None:
        take_turns(slice_ms, nice)
        got.append(turns())

    for asked in ((15,), (3, 5), (3, 40)):
        thread = threading.Thread(target=run, args=asked)
        thread.start()
        thread.join()
    assert got == [(15.0, nice), (3.0, min(19, nice + 5)), (3.0, 19)]
    assert turns() == before


def test_an_unknown_processor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slice.platform, "machine", lambda: "riscv64")
    take_turns(15, 5)


def test_a_sandbox_that_forbids_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(time_slice.os, "sched_getscheduler", forbidden, raising=False)
    take_turns(15)
