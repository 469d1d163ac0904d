"""What each known attack costs the server, and who asks beside it: ``python -m benchmarks attack``.

For each attack a server is started. An honest caller asks it for faces, pictures and probes, at
first alone and then beside the attacker. What is told: memory of the server and its decoders over
what they held before, and once more within a minute after; how many of the honest calls were
answered, and their medians and 95th percentiles; how long a stop takes while the attack goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from tqdm import tqdm

from benchmarks.attack.attacker import attacking
from benchmarks.attack.attacks import ATTACKS, Attack
from benchmarks.attack.bounds import LEFT_RATIO, misses, table
from benchmarks.attack.honest import HonestCaller, Outcomes
from benchmarks.attack.memory import MemoryWatch, tree_mib
from benchmarks.attack.server import DRAIN_S, attacked_server
from benchmarks.common.command import finish
from benchmarks.common.machine import describe_machine

QUIET_S, ATTACK_S, WARM_S, AFTER_S, STOP_AFTER_S = 10.0, 15.0, 2.0, 60.0, 3.0
_QUICK = 0.3
Row = dict[str, Any]


def measured(name: str, attack: Attack, quick: bool = False) -> Row:
    """One attack."""
    share = _QUICK if quick else 1.0
    with attacked_server(attack.tls) as server:
        honest = HonestCaller(server.target)
        honest.ask(WARM_S)
        quiet = _told(honest.ask(share * QUIET_S))
        with MemoryWatch(server.pid) as memory:
            with attacking(name, server.target):
                time.sleep(WARM_S)  # until it has begun
                beside = _told(honest.ask(share * ATTACK_S))
            left_mib, after_s = _settled(server.pid, memory.idle_mib, share * AFTER_S)
        with attacking(name, server.target):
            time.sleep(STOP_AFTER_S)
            alive = server.alive
            stop_s = server.stop_s()
        honest.close()
    row = {
        "title": attack.title, "quiet": quiet, "attacked": beside, "alive": alive,
        "idle_mib": round(memory.idle_mib), "peak_mib": round(memory.peak_mib),
        "left_mib": round(left_mib), "after_s": round(after_s, 1), "stop_s": round(stop_s, 2),
    }  # fmt: skip
    return row | {"misses": misses(row)}


def _told(outcomes: dict[str, Outcomes]) -> Row:
    return {kind: one.row() for kind, one in outcomes.items()}


def _settled(pid: int, idle_mib: float, seconds: float) -> tuple[float, float]:
    """What it holds once that is little, or when the time is over; and after how long."""
    start_s = time.monotonic()
    while True:
        now_mib, passed_s = tree_mib(pid), time.monotonic() - start_s
        if now_mib <= LEFT_RATIO * idle_mib or passed_s >= seconds:
            return now_mib, passed_s
        time.sleep(0.5)


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement."""
    machine = describe_machine()
    names = arguments.only or list(ATTACKS)
    rows = {
        name: measured(name, ATTACKS[name], arguments.quick) for name in tqdm(names, disable=None)
    }
    share = _QUICK if arguments.quick else 1.0
    return {
        "drain_s": DRAIN_S,
        "quiet_s": share * QUIET_S,
        "attack_s": share * ATTACK_S,
        "after_s": share * AFTER_S,
        "attacks": rows,
        "machine": machine,
    }


def main() -> int:
    """Command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=ATTACKS,
        metavar="NAME",
        help=f"this attack, of {', '.join(ATTACKS)}; else all",
    )
    parser.add_argument("--quick", action="store_true", help="a third of the time: a try")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return finish(parser.parse_args(), report, table)


if __name__ == "__main__":
    sys.exit(main())
