"""Ctrl-C while a command still loads what it needs, which takes a small machine seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

GROUP = """
import os, signal
from splitfer.shared.child_process import start_child

process, link = start_child({module!r}, *{arguments!r})
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.killpg(0, signal.SIGINT)
link.close()
process.wait(60)
"""
IMPATIENT = """
import sys

class Impatient:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient())
from splitfer.{side}.start import main
sys.exit(main([]))
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("splitfer.edge_client.sources.decoder_process", []),
        ("splitfer.cloud_server.pictures.decoder", ["1000000", "5"]),
    ],
    ids=["camera", "pictures"],
)
def test_ctrl_c_while_a_decoder_begins_is_no_traceback(module: str, arguments: list[str]) -> None:
    code = GROUP.format(module=module, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("side", ["edge_client", "cloud_server"])
@pytest.mark.parametrize("module", ["cli", "config"])
def test_ctrl_c_while_it_loads_ends_it_without_a_word(side: str, module: str) -> None:
    code = IMPATIENT.format(module=f"splitfer.{side}.{module}", side=side)
    if (side, module) == ("edge_client", "config"):
        code = code.replace("main([])", "main(['run', '--print-config'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")
