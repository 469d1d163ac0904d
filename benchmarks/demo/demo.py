"""The whole path on the bundled clip: ``python -m benchmarks demo --out demo-out``.

A server on loopback, an edge client that plays the clip at its own pace, and an outage: the server
is stopped a third of the way in and started again at two thirds. Exit code 0 says that every face
was answered exactly once, on both paths, and that the cloud came back.

The clip is played more than once where it must be: a server that needs seconds to start would else
come back when the clip is over.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.demo.answers import Answers
from benchmarks.demo.processes import HOST, POLL_S, DemoFailed, Server, end, spawn
from benchmarks.demo.table import table
from benchmarks.demo.verdict import failed_conditions
from splitfer.edge_client.sources.open import open_source

# The second start is slower than the first, measured twice as slow on two busy cores: the edge
# works beside it.
START_SLACK = 2.0
# What the edge may take to notice that the server is back, and the clip's end without a face.
NOTICE_S = 2.3
FACELESS_END_S = 0.7
MOST_LAPS = 9
# Of the time that the clips take.
STOPPED_AT, STARTED_AT = 1 / 3, 2 / 3

_LOG = "server.log"
_OUTPUTS = ("answers.jsonl", "annotated.mp4", "contact-sheet.png", "summary.json", _LOG)


def main() -> int:
    """Run the demo; gives 0, 1 where a condition failed, 130 where it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for results")
    out: Path = parser.parse_args().out.resolve()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _demo(out)
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130


def laps_needed(start_s: float, clip_s: float) -> int:
    """How often to play the clip so that its last part is longer than a restart takes."""
    back_s = START_SLACK * start_s + NOTICE_S + FACELESS_END_S
    return min(MOST_LAPS, max(1, math.ceil(back_s / (1 - STARTED_AT) / clip_s)))


def make_room(out: Path) -> None:
    """An empty place for the results: those of an earlier demo go, and nobody else's.

    Raises:
        DemoFailed: the folder cannot be used, or holds files of these names that are not a demo's.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        found = [name for name in _OUTPUTS if (out / name).exists()]
        if found and _LOG not in found:  # which every demo leaves
            raise DemoFailed(f"--out {out}: it holds a {found[0]} that is no demo's; name another")
        for name in found:
            (out / name).unlink()
    except OSError as error:
        raise DemoFailed(f"--out {out}: {error.strerror}") from error


def _demo(out: Path) -> int:
    make_room(out)
    server = Server(out / _LOG)
    try:
        began_s = time.monotonic()
        server.start()
        server.wait_until_ready()
        start_s = time.monotonic() - began_s
        clip_s = _clip_s()
        laps = laps_needed(start_s, clip_s)
        _say(f"the server is ready on {HOST}:{server.grpc_port}, after {start_s:.1f} s")
        times = "once" if laps == 1 else f"{laps} times, so that a restart fits in"
        _say(f"playing the clip ({clip_s:.1f} s) {times}")
        with _edge(out, server.grpc_port, laps) as edge:
            restart_s = _outage(edge, server, Answers(out / "answers.jsonl"), clip_s * laps)
            edge_exit = edge.wait()
    finally:
        server.stop()
    return _report(out, edge_exit, restart_s)


def _outage(
    edge: subprocess.Popen[bytes], server: Server, answers: Answers, total_s: float
) -> float:
    """Stop and start the server at its times; gives the clip's time at the restart."""

    def wait_for(clip_s: float) -> float:
        while (now_s := answers.clip_time_s()) < clip_s and edge.poll() is None:
            time.sleep(POLL_S)
        return now_s

    stopped_s = wait_for(total_s * STOPPED_AT)
    if edge.poll() is None:
        _say(f"{stopped_s:5.1f} s: the server is stopped")
        server.stop()
    restart_s = wait_for(total_s * STARTED_AT)
    if edge.poll() is None:
        _say(f"{restart_s:5.1f} s: the server is started again")
        server.start()
    return max(restart_s, total_s * STARTED_AT)


def _report(out: Path, edge_exit: int, restart_s: float) -> int:
    summary = None
    if (out / "summary.json").exists():
        summary = json.loads((out / "summary.json").read_text())
        print(f"\n{table(summary)}\n")
    answers = Answers(out / "answers.jsonl").read()
    for name, path in (("video", "annotated.mp4"), ("contact sheet", "contact-sheet.png")):
        print(f"{name + ':':<15} {out / path}")
    failed = failed_conditions(edge_exit, summary, answers, restart_s)
    for condition in failed:
        print(f"FAILED: {condition}")
    if not failed:
        print("every face was answered exactly once; the cloud was lost and came back")
    return 1 if failed else 0


@contextmanager
def _edge(out: Path, port: int, laps: int) -> Iterator[subprocess.Popen[bytes]]:
    # By `cloud` wherever the link allows: what is shown is the link, lost and found again.
    process = spawn(
        "splitfer.edge_client.cli",
        "run",
        "--source",
        "demo" if laps == 1 else f"demo*{laps}",
        "--policy",
        "cloud",
        "--realtime",
        "--server",
        f"{HOST}:{port}",
        "--log-level",
        "warning",
        "--output",
        str(out / "answers.jsonl"),
        "--summary",
        str(out / "summary.json"),
        "--annotate",
        str(out / "annotated.mp4"),
        "--contact-sheet",
        str(out / "contact-sheet.png"),
    )
    try:
        yield process
    finally:
        end(process)


def _interrupt(*_: object) -> None:
    # Whoever presses Ctrl-C twice must not leave processes behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _clip_s() -> float:
    with open_source("demo") as clip:
        assert clip.frames_total is not None
        assert clip.fps is not None
        return clip.frames_total / clip.fps


def _say(text: str) -> None:
    # Over the edge's progress line, which is drawn anew below.
    start = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{start}demo: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
