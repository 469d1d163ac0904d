"""Ray's engine with one and with two tail replicas, and the capacity model held against both.

``python -m benchmarks scaling --write docs/server/scaling.md`` measures and puts the table into the
page.

Each deployment is offered rising loads; the goodput of the best is what it can do. The processor
time that each stage took a face, read from the processes themselves, goes into
``benchmarks.serving.capacity``, which says what the deployment should do: the last column compares.
Server and generator share this machine's cores, and so does the model's sum.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import markdown
from benchmarks.common.command import Result, finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.serving.capacity import Bound, Stage, bound
from benchmarks.serving.rig import Rig
from splitfer.shared.errors import ConfigError, SourceError
from splitfer.shared.whole_file import write_whole

REPLICAS = (1, 2)
LOADS_CALLS_PER_S = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0)
FACES, DEADLINE_MS = 4, 500.0
BEGIN, END = (
    "<!-- benchmarks.serving.scaling: begin -->",
    "<!-- benchmarks.serving.scaling: end -->",
)

_SERVING = re.compile(r"serving (\w+) \(tail \w+\) on grpc [^:]+:(\d+)")
_START_S = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")
# What a process calls itself -> its stage; all others of the server are in the background.
_STAGES = {"ray::ProxyActor": "proxy", ":ingress": "ingress", ":tails": "tail"}


def report(arguments: argparse.Namespace) -> Result:
    """Measure every deployment."""
    if arguments.write:
        around(arguments.write)  # known to be there before anything is measured
    seconds = 2.0 if arguments.quick else 10.0
    loads = LOADS_CALLS_PER_S[::2] if arguments.quick else LOADS_CALLS_PER_S
    with Rig() as rig:
        rig.raw(1.0)
        deployments = [_deployment(rig, replicas, loads, seconds) for replicas in REPLICAS]
    result: Result = {
        "faces_a_call": FACES,
        "deadline_ms": DEADLINE_MS,
        "deployments": deployments,
        "machine": describe_machine(),
    }
    if arguments.write:
        _write(arguments.write, result)
    return result


def _deployment(
    rig: Rig, replicas: int, loads: tuple[float, ...], seconds: float
) -> dict[str, Any]:
    points = []
    with _server(replicas) as (pid, port, fingerprint):
        for load in loads:
            before, generator_s = _cpu_s(pid), _children_s()
            start_s = time.monotonic()
            got = rig.offer(
                protocol="unary",
                faces=FACES,
                rate=load,
                port=port,
                fingerprint=fingerprint,
                deadline_ms=DEADLINE_MS,
                warm_s=0.0,
                seconds=seconds,
                seed=0,
            )
            took_s = time.monotonic() - start_s
            used = {stage: s - before[stage] for stage, s in _cpu_s(pid).items()}
            used["generator"] = _children_s() - generator_s
            points.append({"calls_per_s": load, "took_s": took_s, "cpu_s": used, **got})
    best = max(points, key=lambda point: float(point["faces_in_time_per_s"]))
    model = _model(best, replicas, len(os.sched_getaffinity(0)))
    return {
        "tail_replicas": replicas,
        "points": points,
        "faces_per_s": best["faces_in_time_per_s"],
        "p50_ms": points[0]["answered_ms"],
        "ms_a_face": _ms_a_face(best),
        "model_faces_per_s": round(model.faces_per_s, 1),
        "model_bound_by": model.by,
    }


def _ms_a_face(point: dict[str, Any]) -> dict[str, float]:
    faces = point["faces_in_time_per_s"] * point["took_s"]
    if not faces:
        raise SourceError("no face was answered in time: the machine has other work")
    if lost := [stage for stage in _STAGES.values() if not point["cpu_s"].get(stage)]:
        raise SourceError(f"no process of stage {lost[0]} was found: has Ray renamed them?")
    return {stage: 1000 * s / faces for stage, s in point["cpu_s"].items() if stage != "background"}


def _model(point: dict[str, Any], replicas: int, cores: int) -> Bound:
    stages = {
        name: Stage(ms, replicas if name == "tail" else 1)
        for name, ms in _ms_a_face(point).items()
        if ms > 0
    }
    return bound(stages, cores - point["cpu_s"].get("background", 0.0) / point["took_s"])


@contextlib.contextmanager
def _server(replicas: int) -> Iterator[tuple[int, int, str]]:
    """Ray's engine with so many tail replicas: its pid, gRPC port and fingerprint."""
    scale = {"TAIL_REPLICAS_MIN": replicas, "TAIL_REPLICAS_MAX": replicas, "TAIL_CPUS": 0.1}
    variables = {f"SPLITFER_CLOUD_RAY__{key}": str(value) for key, value in scale.items()}
    environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("SPLITFER_")}
    # A file, not a pipe: Ray has much to say, and nobody reads it once the server serves.
    with tempfile.NamedTemporaryFile("r") as log, Path(log.name).open("w") as said_to:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "splitfer.cloud_server.cli", "serve", "--engine", "ray",
                "--grpc-port", "0", "--http-port", "0",
            ],
            env=environment | variables | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=said_to,
        )  # fmt: skip
        try:
            end_s, said = time.monotonic() + _START_S, ""
            while not (found := _SERVING.search(said)):
                if process.poll() is not None or time.monotonic() > end_s:
                    raise SourceError(f"the server did not start: {said}")
                time.sleep(0.2)
                said += log.read()
            yield process.pid, int(found[2]), found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _cpu_s(pid: int) -> defaultdict[str, float]:
    """Processor time so far of the server's processes, by stage."""
    used: defaultdict[str, float] = defaultdict(float)
    for member in _family(pid):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{member}/cmdline").read_text()
            stage = next((s for part, s in _STAGES.items() if part in name), "background")
            used[stage] += _process_s(member)
    return used


def _children_s() -> float:
    """Of this process's other children: the generator."""
    return sum(
        _process_s(pid)
        for pid in _family(os.getpid())
        if "benchmarks.serving.load" in Path(f"/proc/{pid}/cmdline").read_text()
    )


def _process_s(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))


def table(result: Result) -> str:
    """In Markdown."""
    head = [
        "tail replicas", "faces/s in time", "proxy", "ingress", "tail", "generator",
        "model: faces/s", "bound by", "measured / model",
    ]  # fmt: skip
    rows = []
    for one in result["deployments"]:
        costs = one["ms_a_face"]
        stages = ("proxy", "ingress", "tail", "generator")
        rows.append(
            [
                str(one["tail_replicas"]),
                f"{one['faces_per_s']:.0f}",
                *(f"{costs.get(stage, 0):.2f} ms" for stage in stages),
                f"{one['model_faces_per_s']:.0f}",
                one["model_bound_by"],
                f"{one['faces_per_s'] / one['model_faces_per_s']:.2f}",
            ]
        )
    what = (
        f"{result['faces_a_call']} faces a call, answered within {result['deadline_ms']:.0f} ms; "
        "milliseconds are processor time a face."
    )
    return markdown.paragraphs(
        markdown.table(head, rows), what, machine_line(result["machine"]) + "."
    )


def around(page: Path) -> tuple[str, str]:
    """What stands before and after the place of the table.

    Raises:
        ConfigError: the page cannot be read, or has no such place.
    """
    try:
        before, begin, rest = page.read_text().partition(BEGIN)
    except OSError as error:
        raise ConfigError(f"--write {page}: {error.strerror}") from error
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"--write {page}: it has no {BEGIN} with {END} after it")
    return before, after


def _write(page: Path, result: Result) -> None:
    before, after = around(page)
    write_whole(page, f"{before}{BEGIN}\n{table(result)}\n{END}{after}".encode())


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few loads and short: a try")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
