"""A process that writes answers as fast as it can, until somebody kills it: ``python -m
benchmarks.week.killed FOLDER``. Each number that it says is written by then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from splitfer.edge_client.sinks.json_lines import JsonLines
from splitfer.edge_client.sinks.outbox import Outbox

READER = "mqtt"


def main(folder: Path) -> None:
    """Write until it ends."""
    outbox = Outbox(folder / "killed.db", [READER])
    lines = JsonLines(str(folder / "killed.jsonl"))
    number = 0
    while True:
        record: dict[str, Any] = {"source": "camera", "number": number, "pid": os.getpid()}
        outbox.put([json.dumps(record).encode()])
        lines.add(record)
        print(number, flush=True)
        number += 1


def kill_after(folder: Path, answers: int) -> dict[str, int]:
    """Start one, kill it (``kill -9``) once it has said ``answers``, and look at what it left.
    ``lost`` are answers that were said and are not there, ``unsaid`` those that are there and were
    not said yet, ``torn`` lines that cannot be read once the next run has opened the file."""
    command = [sys.executable, "-m", "benchmarks.week.killed", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writing:
        assert writing.stdout is not None
        said = [int(writing.stdout.readline()) for _ in range(answers)]
        writing.send_signal(signal.SIGKILL)
        said += [int(line) for line in writing.stdout.read().split("\n")[:-1]]
    lines = JsonLines(str(folder / "killed.jsonl"))
    lines.add({"source": "camera", "number": -1, "pid": 0})
    lines.close()
    records, torn = [], 0
    for line in (folder / "killed.jsonl").read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            torn += 1
    written = {one["number"] for one in records if one["pid"] == writing.pid}
    outbox = Outbox(folder / "killed.db", [READER])
    kept = [json.loads(one.body) for one in outbox.waiting(READER, 10**9)]
    ids = [one.id for one in outbox.waiting(READER, 10**9)]
    outbox.close()
    waits = {one["number"] for one in kept if one["pid"] == writing.pid}
    return {
        "said": len(said),
        "lost": len(set(said) - written) + len(set(said) - waits),
        "unsaid": max(len(written - set(said)), len(waits - set(said))),
        "twice": len(ids) - len(set(ids)),
        "torn": torn,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
