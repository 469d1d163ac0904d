"""What the process asks of its platform, read back from the platform."""

from __future__ import annotations

import ctypes
import gc
import platform
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from splitfer.cloud_server import process
from splitfer.cloud_server.process import (
    _memory_limit_files,
    keep_what_is_loaded,
    take_turns,
)

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
    monkeypatch.setattr(process.platform, "machine", lambda: "riscv64")
    take_turns(15, 5)


def test_a_sandbox_that_forbids_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(process.os, "sched_getscheduler", forbidden, raising=False)
    take_turns(15)


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


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"memory.max": "1073741824"}),
        ("0::/kube/pod/box\n", {"kube/pod/memory.max": "1073741824", "kube/memory.max": "max"}),
        ("0::/hidden\n", {"memory.max": "1073741824"}),
        ("4:memory:/box\n0::/\n", {"memory/box/memory.limit_in_bytes": "1073741824"}),
        ("9:cpu,memory:/box\n", {"memory/memory.limit_in_bytes": "1073741824"}),
    ],
)
def test_the_limit_of_the_cgroup_is_found(
    groups: str, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "groups").write_text(groups)
    mounted = tmp_path / "mounted"
    for name, text in files.items():
        (mounted / name).parent.mkdir(parents=True, exist_ok=True)
        (mounted / name).write_text(text)
    found = {
        file.read_text()
        for file in _memory_limit_files(tmp_path / "groups", mounted)
        if file.exists()
    }
    assert "1073741824" in found


def test_a_process_may_open_what_its_hard_limit_says() -> None:
    script = """if True:
        import resource
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(64, hard), min(4096, hard)))
        from splitfer.cloud_server.process import raise_open_files
        given = raise_open_files()
        assert given == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(4096, hard), given
    """
    subprocess.run([sys.executable, "-c", script], check=True)
