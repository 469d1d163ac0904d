"""What the process asks of its platform, read back from the platform."""

from __future__ import annotations

import ctypes
import gc
import platform
import struct
import sys
import threading

import pytest

from cloud_server import process
from cloud_server.process import ask_for_slices, keep_what_is_loaded

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_ATTR = struct.Struct("=IIQiIQQQ")


def slice_ms() -> float:
    """Of this thread; 0 where the kernel knows none."""
    got = ctypes.create_string_buffer(_ATTR.size)
    number = _SCHED_GETATTR[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, 0, got, _ATTR.size, 0) == 0
    runtime_ns: int = _ATTR.unpack(got.raw)[5]
    return runtime_ns / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has slices")
@pytest.mark.skipif(platform.machine() not in _SCHED_GETATTR, reason="another processor")
def test_a_thread_gets_its_slices_and_others_keep_theirs() -> None:
    before_ms = slice_ms()
    if not before_ms:
        pytest.skip("this kernel knows no slices")
    got: list[float] = []

    def run() -> None:
        ask_for_slices(15)
        got.append(slice_ms())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert got == [15.0]
    assert slice_ms() == before_ms


def test_an_unknown_processor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.platform, "machine", lambda: "riscv64")
    ask_for_slices(15)


def test_the_collector_leaves_alone_what_is_loaded() -> None:
    threshold = gc.get_threshold()
    loaded = [{"what": "stays"}]
    try:
        keep_what_is_loaded()
        assert not any(one is loaded for one in gc.get_objects())
        assert gc.isenabled()
        new = [{"what": "comes and goes"}]
        assert any(one is new for one in gc.get_objects())
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
