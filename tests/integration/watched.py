"""What a process and all that it starts reach for, as the kernel is asked for it (strace)."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

from tests.processes import wait_until

_SENDS = "connect", "sendto", "sendmsg", "sendmmsg"
# Calls of which some machines have only a part: strace leaves out those marked so.
_CHANGES = (
    "bind", "open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename",
    "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "truncate",
)  # fmt: skip
_CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<arguments>.*)")
_INTERNET = re.compile(r'htons\((?P<port>\d+)\).*?(?:inet_addr\(|AF_INET6, )"(?P<address>[^"]+)"')
_UNIX = re.compile(r'sun_path="(?P<path>[^"]+)"')
# Its folder, where the path is relative to one (-y), and the path.
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_WRITES = re.compile(r"O_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
_DNS_PORT = 53
# The C library reads it where a name is to be looked up, whoever answers then. Not so
# /etc/resolv.conf, which gRPC reads before it knows whether there will be a name.
_NAMES = "/etc/hosts"
# Semaphores live in memory, and Python takes their names away at once. nscd is on this machine, and
# asked about users too, which Python does as it starts. A decoder tells the kernel that it goes
# before others where memory is short.
_NOWHERE = re.compile(
    r"/dev/(?:null|shm/sem\.[^/]+)|(?:/var)?/run/nscd/socket|/proc/\d+/oom_score_adj"
)


def why_not() -> str | None:
    """Why nothing can be watched here, if so."""
    if shutil.which("strace") is None:
        return "no strace: apt-get install strace"
    tried = subprocess.run(
        [*watching(Path("/dev/null")), "true"], capture_output=True, text=True, check=False
    )
    return f"strace: {tried.stderr.strip()}" if tried.returncode else None


def watching(trace: Path) -> list[str]:
    """What to put before a command. The process started is the command's own, and its tracer
    writes ``trace``."""
    calls = ",".join((*_SENDS, *(f"?{name}" for name in _CHANGES)))
    return ["strace", "-D", "-f", "-y", "-q", "-e", "signal=none", "-e", f"trace={calls}",
            "-o", str(trace)]  # fmt: skip


def strays(trace: Path, pid: int, given: Collection[Path]) -> list[str]:
    """Every name looked up, every address beyond loopback, and everything written or made that is
    not ``given`` (a file, or whatever is in a folder), by the process ``pid`` that has ended and
    those it started."""
    ended = re.compile(rf"^{pid} +\+\+\+ (?:exited|killed)", re.MULTILINE)
    wait_until(lambda: ended.search(trace.read_text(errors="replace")), "the tracer to end")
    allowed = {str(path.resolve()) for path in given}
    return [
        line
        for line in trace.read_text(errors="replace").splitlines()
        if (call := _CALL.match(line)) and _strays(call["name"], call["arguments"], allowed)
    ]


def _strays(name: str, arguments: str, allowed: Collection[str]) -> bool:
    if unix := _UNIX.search(arguments):
        return not _within(Path(unix["path"]), allowed)
    if name in _SENDS or name == "bind":
        found = _INTERNET.search(arguments)
        if found is None or name == "bind":
            return False
        address = ipaddress.ip_address(found["address"])
        mapped = getattr(address, "ipv4_mapped", None) or address
        return not mapped.is_loopback or int(found["port"]) == _DNS_PORT
    paths = [Path(found["folder"] or "", found["path"]) for found in _PATH.finditer(arguments)]
    if name.startswith("open") and not _WRITES.search(arguments):
        return any(str(path) == _NAMES for path in paths)
    return not all(_within(path, allowed) for path in paths)


def _within(path: Path, allowed: Collection[str]) -> bool:
    real = path.resolve()
    return bool(_NOWHERE.fullmatch(str(real))) or any(
        str(one) in allowed for one in (real, *real.parents)
    )
