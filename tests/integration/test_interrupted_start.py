"""Ctrl-C while a command still loads what it needs, which takes a small machine seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("side", ["edge_client", "cloud_server"])
@pytest.mark.parametrize("module", ["cli", "config"])
def test_ctrl_c_while_it_loads_ends_it_without_a_word(side: str, module: str) -> None:
    code = IMPATIENT.format(module=f"splitfer.{side}.{module}", side=side)
    if (side, module) == ("edge_client", "config"):
        code = code.replace("main([])", "main(['run', '--print-config'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")
