"""``make demo`` with the shipped weights: the clip, an outage, and the verdict. The outage is
sooner and shorter than ``make demo`` shows it: the clip is played half as often."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHORT = (
    "import sys\n"
    "from benchmarks.demo import demo\n"
    "demo.STOPPED_AT, demo.STARTED_AT = 1 / 6, 1 / 3\n"
    "sys.exit(demo.main())"
)


@pytest.mark.timeout(240)
def test_the_demo_passes_its_own_verdict(tmp_path: Path) -> None:
    out = tmp_path / "demo out"
    done = subprocess.run(
        [sys.executable, "-c", SHORT, "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["faces"] == summary["answered"] > 100
    assert summary["by_path"]["cloud"] > 0
    assert summary["by_path"]["local"] > 0
    assert {p.name for p in out.iterdir()} >= {"annotated.mp4", "contact-sheet.png"}
