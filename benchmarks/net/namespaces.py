"""Two network namespaces with a shaped link between them, and commands inside.

    edge 10.77.0.1 -- TUN -- packet_link (a process) -- TUN -- 10.77.0.2 cloud

Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN), the ``ip`` command and /dev/net/tun.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from benchmarks.net.packet_link import open_tun
from benchmarks.net.shape import Shape

SIDES = ("edge", "cloud")
ADDRESSES = {"edge": "10.77.0.1", "cloud": "10.77.0.2"}
_ROOT = Path(__file__).resolve().parent.parent.parent


class NamespacesMissing(Exception):
    """This machine or this user cannot make them; one line says why."""


class Namespaces:
    """The pair, while the context lasts. ``command`` runs inside one; ``shape`` shapes the link.

    Raises:
        NamespacesMissing: on entering.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        # The name of a network device has 15 characters at most.
        number = secrets.token_hex(4)
        self._names = {side: f"sf-{number}-{side[0]}" for side in SIDES}
        self._link: subprocess.Popen[str] | None = None

    def command(self, side: str, *arguments: str) -> list[str]:
        """The command line that runs ``arguments`` inside the namespace of ``side``."""
        return ["ip", "netns", "exec", self._names[side], *arguments]

    def shape(self, up: Shape, down: Shape) -> dict[str, dict[str, int]]:
        """Set both ways (up: edge to cloud); gives each way's counts since the last time."""
        return self._order({"up": asdict(up), "down": asdict(down)})

    def counts(self) -> dict[str, dict[str, int]]:
        """Each way's counts since the last time: packets arrived, lost, waiting, and bytes."""
        return self._order({})

    def _order(self, shapes: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
        assert self._link is not None
        assert self._link.stdin is not None
        assert self._link.stdout is not None
        print(json.dumps(shapes), file=self._link.stdin, flush=True)
        answer = self._link.stdout.readline()
        if not answer:
            raise RuntimeError(f"the packet link ended with {self._link.wait()}")
        counts: dict[str, dict[str, int]] = json.loads(answer)
        return counts

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _open(self) -> None:
        tuns = []
        try:
            for side in SIDES:
                name = self._names[side]
                tuns.append(open_tun(name))
                _ip("netns", "add", name)
                # The device moves, its descriptor stays with us.
                _ip("link", "set", name, "netns", name)
                _ip("-n", name, "addr", "add", f"{ADDRESSES[side]}/24", "dev", name)
                _ip("-n", name, "link", "set", name, "up")
                _ip("-n", name, "link", "set", "lo", "up")
            seed = ["--seed", str(self._seed)] if self._seed is not None else []
            self._link = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.net.packet_link", *map(str, tuns), *seed],
                cwd=_ROOT,
                pass_fds=tuns,
                text=True,
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise NamespacesMissing(f"no network namespaces here: {error}") from error
        finally:
            for tun in tuns:
                os.close(tun)
        self.shape(Shape(), Shape())  # it runs once it answers

    def _close(self) -> None:
        if self._link is not None:
            self._link.communicate()  # closes its control, which ends it
        for name in self._names.values():
            with contextlib.suppress(NamespacesMissing):
                _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NamespacesMissing(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
