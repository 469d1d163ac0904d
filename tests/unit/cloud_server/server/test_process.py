"""What the process asks of its platform, read back from the platform."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from splitfer.cloud_server.server.process import (
    _memory_limit_files,
    collecting_put_off,
    keep_what_is_loaded,
)


def test_the_collector_leaves_alone_what_is_loaded() -> None:
    threshold = gc.get_threshold()
    loaded = [{"what": "stays"}]
    try:
        with collecting_put_off():
            assert not gc.isenabled()
            keep_what_is_loaded()
            assert gc.isenabled()
        assert not any(one is loaded for one in gc.get_objects())
        assert gc.isenabled()
        new = [{"what": "comes and goes"}]
        assert any(one is new for one in gc.get_objects())
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


def test_a_start_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(OSError, match="no"), collecting_put_off():
        raise OSError("no")
    assert gc.isenabled()


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
        from splitfer.cloud_server.server.process import raise_open_files
        given = raise_open_files()
        assert given == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(4096, hard), given
    """
    subprocess.run([sys.executable, "-c", script], check=True)
