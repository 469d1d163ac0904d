"""What goes wrong in a day, each in its turn, and what must hold while it does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.week.broker import Broker, wait_until
from benchmarks.week.device import Device
from benchmarks.week.killed import kill_after
from benchmarks.week.played_time import HOUR_S
from splitfer.edge_client.sinks.reader import LONGEST_WAIT_S
from splitfer.edge_client.sinks.run_status import Health

_KILLS = 2
_SAID = 40
# The last are a page.
_BALLAST_BYTES = (1 << 16, 1 << 12)


@dataclass
class Fault:
    """``begin`` at the hour ``at_h`` of each day, ``look`` in the middle, ``end`` after ``for_h``
    hours. What they give is a problem in words, None where there is none."""

    name: str
    at_h: float
    for_h: float
    begin: Callable[[], str | None]
    end: Callable[[], str | None]
    look: Callable[[], str | None] = lambda: None


class Settings:
    """What the settings file holds, as far as it matters: sound or corrupt."""

    def __init__(self) -> None:
        self.corrupt = False
        self.reads = 0


def faults(device: Device, broker: Broker, settings: Settings, disk: Path | None) -> list[Fault]:
    """Of one day. Without a small ``disk`` of its own none is filled."""
    camera, time = device.camera, device.time
    failures = [0]

    def health(*wanted: Health) -> Callable[[], str | None]:
        def look() -> str | None:
            found = device.appliance.status.health()
            return None if found in wanted else f"health is {found}, not {wanted[0]}"

        return look

    def switch(name: str, value: bool) -> Callable[[], None]:
        return lambda: setattr(camera, name, value)

    def waiting() -> int:
        return int((device.appliance.report()["outbox"])["readers"]["mqtt"]["waiting"])

    def broker_back() -> str | None:
        broker.start()
        if wait_until(lambda: waiting() == 0, 2 * LONGEST_WAIT_S):
            return None
        return f"{waiting()} answers still wait after the broker came back"

    def fill() -> None:
        assert disk is not None
        failures[0] = sum(device.outputs.failures.values())
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            for size in _BALLAST_BYTES:
                with suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass

    def empty() -> None:
        assert disk is not None
        (disk / "ballast").unlink()

    def failed_or_has_room() -> str | None:
        """In a room with nobody in it nothing is written, and so nothing fails at that moment; a
        file of answers that is turned over makes room by itself."""
        assert disk is not None
        room = shutil.disk_usage(disk).free >= _BALLAST_BYTES[-1]
        failed = sum(device.outputs.failures.values()) > failures[0]
        return None if failed or room else "no output failed on a full disk"

    def set_clock(by_s: float) -> Callable[[], None]:
        def act() -> None:
            time.set_by_s += by_s

        return act

    def corrupt() -> str | None:
        settings.corrupt = True
        device.course.ask()
        before = device.begun
        told = device.appliance.status.report
        if not wait_until(lambda: bool(told()["settings"]["refused"])):
            return "corrupt settings were not refused"
        return None if device.begun == before else "the run began anew with corrupt settings"

    def sound() -> None:
        settings.corrupt = False

    def reload() -> str | None:
        reads = settings.reads
        device.course.ask()
        return None if wait_until(lambda: settings.reads > reads) else "settings were not read"

    def kill() -> str | None:
        for _ in range(_KILLS):
            found = kill_after(device.lines.parent, _SAID)
            if found["lost"] or found["twice"] or found["torn"] or found["unsaid"] > 1:
                return f"kill -9: {found}"
        return None

    def silently(act: Callable[[], object]) -> Callable[[], str | None]:
        def done() -> None:
            act()

        return done

    found = [
        Fault("camera_away", 2.2, 0.5, silently(switch("away", True)),
              silently(switch("away", False)), health(Health.WAITING)),
        Fault("camera_frozen", 4.2, 0.5, silently(switch("frozen", True)),
              silently(switch("frozen", False)), health(Health.NO_PICTURE)),
        Fault("camera_too_fast", 5.2, 0.5, silently(switch("hurried", True)),
              silently(switch("hurried", False))),
        Fault("broker_away", 6.2, 1, silently(broker.stop), broker_back,
              lambda: None if waiting() else "nothing waits for the broker"),
        Fault("clock_moved", 12.2, 2, silently(set_clock(36 * HOUR_S)),
              silently(set_clock(-35 * HOUR_S))),
        Fault("corrupt_reload", 15.2, 0.5, corrupt, silently(sound), health(Health.OK)),
        Fault("reload", 16.2, 0.5, reload, silently(lambda: None), health(Health.OK)),
        Fault("paused", 17.2, 1,
              silently(lambda: device.appliance.control.pause(True, "the week")),
              silently(lambda: device.appliance.control.pause(False, "the week")),
              health(Health.PAUSED)),
        Fault("killed_while_writing", 20.2, 0.5, kill, silently(lambda: None)),
    ]  # fmt: skip
    if disk is not None:
        found.append(
            Fault("disk_full", 9.2, 1, silently(fill), silently(empty), failed_or_has_room)
        )
    return found
