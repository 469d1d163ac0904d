"""One attacker as a process: ``python -m benchmarks.attack.attacker NAME`` reads its target, a line
of JSON, and attacks until it is ended."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.server import Target

_NICE = 10


@contextlib.contextmanager
def attacking(name: str, target: Target) -> Iterator[None]:
    """The attack goes on meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.attack.attacker", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # It has imported what it needs: the machine is not busy with that.
        process.stdout.readline()
        print(json.dumps(target.as_dict()), file=process.stdin, flush=True)
        yield
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()


def main() -> None:
    """Attack."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.nice(_NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("ready", flush=True)
    target = Target(**json.loads(sys.stdin.readline()))
    ATTACKS[sys.argv[1]].attacker(target)


if __name__ == "__main__":
    main()
