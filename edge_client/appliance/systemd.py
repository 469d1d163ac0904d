"""Messages to systemd (sd_notify): the run is ready, alive, stopping."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from splitfer.shared.deadline import Clock


class SystemdNotice:
    """Tells systemd, where it started this run with ``Type=notify``; else does nothing.

    ``tick`` is to be called a few times a second, whatever happens. It feeds the watchdog only
    while ``flows`` says that frames do, so that a run which hangs is started anew.
    """

    def __init__(
        self,
        flows: Callable[[], bool],
        status: Callable[[], str],
        environment: Mapping[str, str] = os.environ,
        clock: Clock = time.monotonic,
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._flows, self._status, self._clock = flows, status, clock
        asked = environment.get("WATCHDOG_USEC", "")
        # Half of what systemd waits, as its manual says.
        self._every_s = int(asked) / 2e6 if asked.isdigit() else 10.0
        self._next_s = float("-inf")
        self._ready = False

    def tick(self) -> None:
        """Say that it is ready, the first time, and then that it lives, as often as is asked."""
        if not self._address or self._clock() < self._next_s:
            return
        self._next_s = self._clock() + min(self._every_s, 10.0)
        words = [f"STATUS={self._status()}"]
        if not self._ready:
            self._ready = True
            words.append("READY=1")
        if self._flows():
            words.append("WATCHDOG=1")
        self._say("\n".join(words))

    def stopping(self) -> None:
        """Say to systemd that the run ends."""
        if self._address:
            self._say("STOPPING=1")

    def reloading(self) -> None:
        """Say that settings are read again: another notice says that it is ready."""
        if self._address:
            now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._say(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def _say(self, words: str) -> None:
        # An abstract name begins with @ in the variable, and with a null character in the kernel.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(1.0)
            out.sendto(words.encode(), address)


class WatchdogThread:
    """Calls ``notice.tick`` until it is closed."""

    def __init__(self, notice: SystemdNotice, every_s: float = 0.5) -> None:
        self._notice, self._every_s = notice, every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._notice.tick()
        while not self._closed.wait(self._every_s):
            self._notice.tick()

    def close(self, goes_on: bool = False) -> None:
        """Say that the run ends, or that it goes on with other settings; only the first time."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        (self._notice.reloading if goes_on else self._notice.stopping)()
