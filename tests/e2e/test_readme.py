"""The examples of README and docs do what they say, against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer.shared.labels import LABELS
from tests.processes import Server

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"edge": ROOT / "README.md", "grpc": ROOT / "docs/api/grpc.md"}
PYTHON = [re.findall(r"```python\n(.*?)```", page.read_text(), re.S) for page in PAGES.values()]


@pytest.mark.parametrize("example", [one for (one,) in PYTHON], ids=list(PAGES))
def test_python_examples(
    example: str, weights_folder: Path, astronaut: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(astronaut[:300]).save(tmp_path / "portrait.jpg")
    with Server(weights_folder, tmp_path / "server.log").start() as server:
        # The example has the shipped weights on both sides; here both have the tests' own.
        code = example.replace("127.0.0.1:50051", server.address).replace(
            "Recognizer(server=", f"Recognizer(weights={str(weights_folder)!r}, server="
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stderr
    assert any(label in done.stdout for label in LABELS)


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+?)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
