"""IP packets between two TUN devices, shaped on the way: a link for real TCP.

Loss, delay and order are those of packets, so the two kernels recover from them as they would on
any network. ``namespaces`` starts this file as a process of its own, hands it the devices, and
speaks lines of JSON with it:

    -> {"up": {"bytes_per_s": 12500, "delay_ms": 25}, "down": {...}}
    <- {"up": {"arrived": 17, "lost": 0, "waiting": 2, "bytes": 9000}, "down": {...}}
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import asdict, dataclass, field

from benchmarks.net.shape import Line, Shape

TUN_DEVICE = "/dev/net/tun"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x1, 0x1000
_PACKET_BYTES = 2**16
_BURST = 64


def open_tun(name: str) -> int:
    """A file descriptor that reads and writes the IP packets of a new device ``name``.

    Raises:
        OSError: there is no such kind of device here, or this user may not.
    """
    tun = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(tun)
        raise
    return tun


@dataclass
class Counts:
    """Packets of one way that arrived, that were lost or found the queue full, that are under way,
    and the bytes that arrived."""

    arrived: int = 0
    lost: int = 0
    waiting: int = 0
    bytes: int = 0


@dataclass
class Way:
    """From one device to the other."""

    source: int
    sink: int
    line: Line
    counts: Counts = field(default_factory=Counts)


class PacketLink:
    """Carries packets between two open devices until told to stop."""

    def __init__(self, near: int, far: int, seed: int | None = None) -> None:
        rng = random.Random(seed)
        self.ways = {
            "up": Way(near, far, Line(Shape(), rng.random)),
            "down": Way(far, near, Line(Shape(), rng.random)),
        }
        self._waiting: list[tuple[float, int, Way, bytes]] = []
        self._number = 0

    def run(self, control: int) -> None:
        """Until the descriptor ``control`` ends; its lines change the shapes."""
        by_source = {way.source: way for way in self.ways.values()}
        lines = b""
        while True:
            ready, _, _ = select.select([control, *by_source], [], [], self._deliver())
            for one in ready:
                if one != control:
                    self._take(by_source[one])
                    continue
                if not (read := os.read(control, 2**16)):
                    return
                *whole, lines = (lines + read).split(b"\n")
                for line in whole:
                    print(json.dumps(self.order(json.loads(line))), flush=True)

    def order(self, shapes: dict[str, dict[str, float]]) -> dict[str, dict[str, int]]:
        """Set the shapes named; gives the counts of each way since the last order."""
        counts = {}
        for name, way in self.ways.items():
            counts[name] = asdict(way.counts)
            way.counts = Counts(waiting=way.counts.waiting)
            if name in shapes:
                # A new line: what waits on the old one must not hold up what comes.
                way.line = Line(Shape(**shapes[name]), way.line.draw)  # type: ignore[arg-type]
        return counts

    def _take(self, way: Way) -> None:
        for _ in range(_BURST):
            try:
                packet = os.read(way.source, _PACKET_BYTES)
            except BlockingIOError:
                return
            arrivals = way.line.packet(len(packet), time.monotonic())
            way.counts.lost += not arrivals
            for due_s in arrivals:
                self._number += 1
                way.counts.waiting += 1
                heapq.heappush(self._waiting, (due_s, self._number, way, packet))

    def _deliver(self) -> float | None:
        """Hand over what is due; gives the seconds until something else is."""
        while self._waiting:
            wait_s = self._waiting[0][0] - time.monotonic()
            if wait_s > 0:
                return wait_s
            _, _, way, packet = heapq.heappop(self._waiting)
            way.counts.waiting -= 1
            way.counts.arrived += 1
            way.counts.bytes += len(packet)
            # A device that is down or full drops, as any other would.
            with contextlib.suppress(OSError):
                os.write(way.sink, packet)
        return None


def main() -> int:
    """``packet_link NEAR_FD FAR_FD``: see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("near", type=int)
    parser.add_argument("far", type=int)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # a late packet would be taken for a slow link
    PacketLink(arguments.near, arguments.far, arguments.seed).run(sys.stdin.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
