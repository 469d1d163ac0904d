"""A benchmark of benchmarks that is ended takes with it what it started."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.common.another import run
from tests.processes import PATIENCE_S, wait_until

# A benchmark that another one runs, and its server, which hears no SIGTERM; both say who they are.
CHILD = """
import os, pathlib, signal, subprocess, sys, time
if sys.argv[1:] == ["server"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    subprocess.Popen([sys.executable, __file__, "server"])
pathlib.Path(f"pid.{os.getpid()}").touch()
time.sleep(600)
"""
PARENT = """
from benchmarks.readme import readme
from benchmarks.common.another import run
readme.PARTS = {"attack": lambda _: run("child")}
readme.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    root = Path(__file__).parents[4]
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.append({str(root)!r}){PARENT}", "attack"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    ) as parent:
        wait_until(lambda: len(list(tmp_path.glob("pid.*"))) == 2, "both to run")
        parent.send_signal(number)
        assert parent.wait(PATIENCE_S)
    for file in tmp_path.glob("pid.*"):
        wait_until(lambda file=file: has_ended(file.suffix[1:]), "both to end")


def test_what_it_prints_is_given_and_its_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.py").write_text("import sys; print('said'); sys.exit(len(sys.argv) - 1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run("child") == "said\n"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("child", "one", "two")
    assert failed.value.returncode == 2


def has_ended(pid: str) -> bool:
    """Whether it runs no more; one that nobody has waited for has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
