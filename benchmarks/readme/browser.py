"""The figures of ``docs/device/browser.md``: what a page's stages cost."""

from __future__ import annotations

from typing import Any

from benchmarks.common.machine import machine_line
from benchmarks.common.markdown import paragraphs, table
from benchmarks.device.browser import STAGES
from benchmarks.readme.results import run_json


def browser(_: str | None) -> str:
    """Each stage beside a Python edge's, frames a second, and bytes loaded."""
    return written(run_json("benchmarks.device.browser"))


def written(found: dict[str, Any]) -> str:
    """The part, of what ``benchmarks.browser`` printed."""
    columns = {"Python edge": found["python"]} | {
        _slowed(times): of for times, of in found["browser_slowed"].items()
    }
    stages = [
        [name.replace("_", " "), *(f"{of[name]['p50_ms']:.1f}" for of in columns.values())]
        for name in STAGES
    ]
    rates = [
        [name.replace("_", " "), *(f"{of[name]:.0f}" for of in found["frames_per_s"].values())]
        for name in next(iter(found["frames_per_s"].values()))
    ]
    loaded = found["loaded_bytes"]
    return paragraphs(
        f"`python -m benchmarks browser`: one face of a {found['frame']}, Chromium "
        f"{found['chromium'].split('.')[0]} on one core, median ms of {found['rounds']} rounds",
        table(["stage, ms", *columns], stages),
        f"Head and encode take {found['head_and_encode_ratio']:g} times what they take a Python "
        "edge on the same core. Frames a second, of these times:",
        table(["frames/s", *map(_slowed, found["frames_per_s"])], rates),
        f"Loaded: {loaded['first'] / 1e6:.1f} MB the first time, {loaded['second'] / 1e3:.1f} kB "
        f"the second. The networks were ready in {found['open_ms']:.0f} ms.",
        f"Measured on {machine_line(found['machine'])}.",
    )


def _slowed(times: str) -> str:
    return "browser" if times == "1" else f"slowed {times} times"
