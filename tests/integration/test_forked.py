"""A process that was forked off with a recognizer whose link is of the process before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.contracts import Reason
from splitfer.shared.weights import default_folder
from tests.integration.cloud_process import CloudProcess

FORKED = """
import os, signal, sys
from splitfer import Recognizer
server, picture = sys.argv[1:]
recognizer = Recognizer(server, policy="cloud", deadline_ms=60_000)
told = lambda: print(*((face.path.value, face.reason) for face in recognizer.faces(picture)))
while recognizer.server_away:
    recognizer.faces(picture)
told()
sys.stdout.flush()
if child := os.fork():
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status))
    told()
    recognizer.close()
else:
    signal.alarm(60)
    told()
    print(recognizer.server_away, recognizer.link_report()["state"])
    recognizer.close()
    sys.stdout.flush()
    os._exit(0)
"""


def test_it_answers_alone_and_at_once(astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(astronaut[:300]).save(tmp_path / "portrait.png")
    with CloudProcess(default_folder()) as server:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORKED, server.grpc, tmp_path / "portrait.png"],
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.stdout.splitlines() == [
        "('cloud', None)",
        f"('local', {Reason.LINK_DOWN!r})",
        "True open",
        "child 0",
        "('cloud', None)",
    ], done.stderr
