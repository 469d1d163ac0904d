"""Whether a device left alone for a week comes through: ``python -m benchmarks week --json``.

The parts of ``edge-client run`` by played time, with a real broker (mosquitto), a real small disk
(tmpfs, where this user may mount one) and real files. Each day brings every fault of ``faults.py``;
its hours pass as fast as frames are answered. One frame in 500 is really searched and classified.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine, machine_line
from benchmarks.week.broker import MOSQUITTO, Broker, wait_until
from benchmarks.week.device import Device
from benchmarks.week.faults import Fault, Settings, faults
from benchmarks.week.played_time import HOUR_S
from splitfer.edge_client.config import EdgeConfig, load_config
from splitfer.edge_client.sinks.run_status import NO_PICTURE_S
from splitfer.shared.errors import ConfigError

MOST_GROWTH_MB = 8.0
"""From the first day's second half to the last day's: caches and arenas have filled by then."""

_DISK = "SPLITFER_WEEK_DISK"
_DISK_MB = 48
_DAY_S = 24 * HOUR_S
_MOUNTED = f'mount -t tmpfs -o size={_DISK_MB}m tmpfs "$0" && exec "$@"'


class Week:
    """Plays ``days`` on ``folder``; ``small_disk`` says that it is a disk of its own."""

    def __init__(
        self, folder: Path, broker: Broker, days: float, frame_s: float, small_disk: bool
    ) -> None:
        self._settings, self._folder, self._broker = Settings(), folder, broker
        self._end_s = days * _DAY_S
        self.device = Device(folder, self._config, frame_s, self._each)
        self._faults = faults(self.device, broker, self._settings, folder if small_disk else None)
        self.count = dict.fromkeys((fault.name for fault in self._faults), 0)
        self.problems: list[str] = []
        self.rss_mb: list[float] = []
        self._state: dict[str, tuple[float, str]] = {}
        self._next_hour_s = HOUR_S

    def run(self) -> None:
        """To the end."""
        self.device.run()

    def _config(self) -> EdgeConfig:
        self._settings.reads += 1
        if self._settings.corrupt:
            raise ConfigError("camera.yaml, line 3: expected a key")
        return load_config(
            None,
            {
                "source": "camera", "purpose": "a simulated week", "device_id": "week",
                "mqtt": f"127.0.0.1:{self._broker.port}", "mqtt_answers": True,
                "outbox": self._folder / "outbox.db", "audit": self._folder / "audit.jsonl",
                "output_max_mb": 1, "heartbeat_s": 60 + self._settings.reads,
            },
        )  # fmt: skip

    def _each(self) -> None:
        """As time passes, in the camera's thread."""
        now_s = self.device.time.now_s
        try:
            for fault in self._faults:
                self._turn(fault, now_s)
            if now_s >= self._next_hour_s:
                self._next_hour_s += HOUR_S
                self._hour()
        except Exception as error:
            self._problem("the simulation", f"{type(error).__name__}: {error}")
            self._end_s = 0.0
        if now_s >= self._end_s and not self.device.course.came:
            self._end_s = float("inf")
            os.kill(os.getpid(), signal.SIGTERM)

    def _turn(self, fault: Fault, now_s: float) -> None:
        day_s = now_s - now_s % _DAY_S
        begin_s, length_s = day_s + fault.at_h * HOUR_S, fault.for_h * HOUR_S
        of_day, state = self._state.get(fault.name, (-1.0, "over"))
        if of_day != day_s and state == "over" and begin_s <= now_s < begin_s + length_s:
            self._state[fault.name] = day_s, "begun"
            self._problem(fault.name, fault.begin())
        elif state == "begun" and now_s >= begin_s + length_s / 2:
            self._state[fault.name] = day_s, "looked at"
            self._problem(fault.name, fault.look())
        elif state == "looked at" and now_s >= begin_s + length_s:
            self._state[fault.name] = day_s, "over"
            self._problem(fault.name, fault.end())
            self.count[fault.name] += 1

    def _hour(self) -> None:
        if not any(state != "over" for _, state in self._state.values()):
            failing = self.device.appliance.status.failing()
            self._problem("between faults", failing and f"it still fails: {failing}")
            report = self.device.appliance.report
            drained = wait_until(lambda: report()["outbox"]["readers"]["mqtt"]["waiting"] == 0)
            self._problem("between faults", None if drained else "answers wait for the broker")
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.rss_mb.append(round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2))

    def _problem(self, where: str, words: str | None) -> None:
        if words:
            day = int(self.device.time.now_s // _DAY_S) + 1
            self.problems.append(f"day {day}, {where}: {words}")


def simulate(arguments: argparse.Namespace) -> dict[str, Any]:
    """The result.

    Raises:
        ConfigError: there is no broker.
    """
    if not 0 < arguments.frame_s < NO_PICTURE_S or arguments.days < 1:
        raise ConfigError(f"--days is at least 1, --frame-s above 0 and below {NO_PICTURE_S:g}")
    if MOSQUITTO is None:
        raise ConfigError("there is no mosquitto: apt-get install mosquitto")
    logging.disable(logging.ERROR)  # of which a week has many, on purpose
    small_disk = os.environ.get(_DISK)
    folder = Path(small_disk or tempfile.mkdtemp(prefix="splitfer-week-"))
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    began_s = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as beside, Broker(Path(beside)) as broker:
            week = Week(folder, broker, arguments.days, arguments.frame_s, bool(small_disk))
            week.run()
            heard = list(broker.heard)
            late = broker.late
    finally:
        logging.disable(logging.NOTSET)
        if not small_disk:
            shutil.rmtree(folder, ignore_errors=True)
    device, books = week.device, week.device.books.report()
    outbox = {
        key: sum(one["readers"]["mqtt"][key] for one in device.outboxes)
        for key in ("sent", "refused", "shed")
    }
    outbox["put"] = sum(one["put"] for one in device.outboxes)
    outbox["waiting"] = device.outboxes[-1]["readers"]["mqtt"]["waiting"]
    numbers = [int(one.rpartition("-")[2]) for one in dict.fromkeys(heard)]
    growth_mb = _growth(week.rss_mb)
    held = {
        "captured = answered + lost + shed": week.device.books.balanced and not books["lost"],
        "put = sent + refused + shed + waiting": outbox["put"]
        == outbox["sent"] + outbox["refused"] + outbox["shed"] + outbox["waiting"],
        # What is shed on a full disk may be on its way already.
        "every answer sent was heard, in order": numbers == sorted(numbers)
        and outbox["sent"] <= len(numbers) <= outbox["sent"] + outbox["shed"],
        f"memory grew by at most {MOST_GROWTH_MB:g} MB": growth_mb <= MOST_GROWTH_MB,
        "every fault came and went": not week.problems and all(week.count.values()),
    }
    return {
        "days": arguments.days,
        "frame_s": arguments.frame_s,
        "frames": books,
        "looked_at": device.looked_at,
        "outbox": outbox,
        "heard": {"answers": len(numbers), "twice": len(heard) - len(numbers), "late": late},
        "settings_begun": device.begun,
        "camera_reopened": device.reopened,
        "frames_that_an_output_lacks": device.output_failures,
        "faults": week.count,
        "problems": week.problems,
        "rss_mb": {
            "first": week.rss_mb[0], "last": week.rss_mb[-1], "most": max(week.rss_mb),
            "growth": growth_mb,
        },
        "held": held,
        "seconds": round(time.monotonic() - began_s, 1),
        "machine": describe_machine(),
    }  # fmt: skip


def _growth(rss_mb: list[float]) -> float:
    """From one half day to the last: medians of the hours."""
    half = min(12, len(rss_mb) // 2)
    first = rss_mb[half : 2 * half] if len(rss_mb) > 2 * half else rss_mb[:half]
    return round(statistics.median(rss_mb[-half:]) - statistics.median(first), 2)


def table(result: dict[str, Any]) -> str:
    """For a person."""
    frames, outbox, heard = result["frames"], result["outbox"], result["heard"]
    growth = (
        "{first} MB after the first hour, {last} MB after the last, {most} MB at most, {growth} MB"
    )
    lines = [
        "{days:g} days in {seconds:.0f} s, a frame each {frame_s:g} s".format(**result),
        machine_line(result["machine"]),
        "frames: {captured} captured = {answered} answered + {dropped} shed + {lost} lost".format(
            **frames
        ),
        "for the broker: {put} put = {sent} sent + {refused} refused + {shed} shed + "
        "{waiting} waiting".format(**outbox),
        "heard: {answers} answers, {twice} of them twice, {late} late".format(**heard),
        f"memory: {growth} between the half days".format(**result["rss_mb"]),
        "faults: " + ", ".join(f"{name} {count}" for name, count in result["faults"].items()),
        *(f"{'ok' if held else 'NO'}  {what}" for what, held in result["held"].items()),
        *result["problems"],
    ]
    return "\n".join(lines)


def main() -> int:
    """Command line; gives the exit code: 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=7.0, metavar="N", help="to play (7)")
    parser.add_argument(
        "--frame-s",
        type=float,
        default=5.0,
        metavar="S",
        help=f"played time between two frames (5); below {NO_PICTURE_S:g}, after "
        "which a camera counts as away",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args()
    if _DISK not in os.environ and (folder := _mountable()):
        try:
            again = [sys.executable, "-m", "benchmarks", "week", *sys.argv[1:]]
            return subprocess.call(
                ["unshare", "--mount", "sh", "-c", _MOUNTED, folder, *again],
                env={**os.environ, _DISK: folder},
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    results: list[dict[str, Any]] = []

    def report(arguments: argparse.Namespace) -> dict[str, Any]:
        results.append(simulate(arguments))
        return results[0]

    code = finish(arguments, report, table)
    return code or int(not all(results[0]["held"].values()))


def _mountable() -> str | None:
    """A folder on which a small disk can be mounted that no other process sees; None where this
    user may not."""
    folder = tempfile.mkdtemp(prefix="splitfer-week-")
    probe = ["unshare", "--mount", "sh", "-c", _MOUNTED, folder, "true"]
    if shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    return None


if __name__ == "__main__":
    sys.exit(main())
