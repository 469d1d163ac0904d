"""Reading a video holds on to nothing, whether or not Python's collector comes by."""

from __future__ import annotations

import subprocess
import sys

_LAPS = """
import gc, resource
from splitfer.edge_client.sources.open import open_source

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

gc.disable()
with open_source("demo*8") as source:
    frames, before = source.frames_total // 8, None
    for frame in source:
        if frame.index == 2 * frames:
            before = resident_bytes()
print(resident_bytes() - before)
"""


def test_a_clip_that_goes_round_takes_no_more_memory_each_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LAPS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 2**20
