"""Results of benchmarks as they are kept: ``benchmarks/results/NAME.json``, one file a question.

    {"command", "commit", "date", "took_s", "result": what the benchmark printed}

Pages and pictures are made of these files alone, so that a reader can check them again.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common.another import run
from splitfer.shared.whole_file import write_whole

RESULTS = Path("benchmarks/results")
# Where the data lie on this machine is nobody's business.
_DATA_OPTIONS = {"--data": "fer2013.zip", "--votes": "ferplus.csv"}
_only_kept = ContextVar("only_kept", default=False)


class NotKept(ValueError):
    """No result of a benchmark is kept; the message says what to run."""


@contextmanager
def kept_alone() -> Iterator[None]:
    """Inside, nothing is measured: results are read from their files."""
    token = _only_kept.set(True)
    try:
        yield
    finally:
        _only_kept.reset(token)


def measuring() -> bool:
    """Whether results are measured, not read."""
    return not _only_kept.get()


def run_json(module: str, *arguments: str) -> dict[str, Any]:
    """What ``python -m module --json`` prints, which is kept; inside ``kept_alone`` what was kept.

    Raises:
        subprocess.CalledProcessError: it failed.
        NotKept: nothing was kept.
    """
    name, *options = module.rsplit(".", 1)[1], *_shown(arguments)
    command = " ".join(["python -m benchmarks", name, *options])
    if measuring():
        start_s = time.monotonic()
        printed = run(module, *arguments, "--json")
        took_s = time.monotonic() - start_s
        keep(name_of(name, options), command, json.loads(printed), took_s)
    return kept(name_of(name, options), command)


def keep(name: str, command: str, result: dict[str, Any], took_s: float) -> None:
    """Write ``RESULTS/name.json``; measuring it took ``took_s`` seconds."""
    row = {
        "command": command,
        "commit": _commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "took_s": round(took_s),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(row | {"result": result}, indent=1)
    write_whole(RESULTS / f"{name}.json", f"{text}\n".encode())


def kept(name: str, command: str) -> dict[str, Any]:
    """The result in ``RESULTS/name.json``.

    Raises:
        NotKept: there is none.
    """
    file = RESULTS / f"{name}.json"
    if not file.exists():
        raise NotKept(f"no {file}: run `{command}` by way of `python -m benchmarks readme`")
    found: dict[str, Any] = json.loads(file.read_text())["result"]
    return found


def longest_s(benchmark: str) -> int | None:
    """The longest that one kept result of a benchmark took to measure; None where no file says."""
    rows = [json.loads(file.read_text()) for file in RESULTS.glob("*.json")]
    times = [
        row["took_s"]
        for row in rows
        if row["command"].split()[3:4] == [benchmark] and "took_s" in row
    ]
    return max(times, default=None)


def name_of(benchmark: str, options: list[str]) -> str:
    """``accuracy``, ``--rate all`` -> ``accuracy-rate-all``; data and votes do not count."""
    words = [word for word in options if word not in (*_DATA_OPTIONS, *_DATA_OPTIONS.values())]
    return "-".join([benchmark, *(word.removeprefix("--") for word in words)])


def _shown(arguments: tuple[str, ...]) -> list[str]:
    shown = list(arguments)
    for place, word in enumerate(arguments[:-1]):
        if word in _DATA_OPTIONS:
            shown[place + 1] = _DATA_OPTIONS[word]
    return shown


def _commit() -> str | None:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
