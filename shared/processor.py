"""What the processor must be able to do: said before an import that would be killed for it."""

from __future__ import annotations

import platform
from pathlib import Path

from splitfer.shared.errors import ConfigError

_X86 = ("x86_64", "amd64", "i686", "i386")


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo"), machine: str | None = None) -> None:
    """Return where the compiled libraries can run; also where that is not known.

    Raises:
        ConfigError: an x86 processor without AVX.
    """
    if (machine or platform.machine()).lower() not in _X86:
        return
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), None)
    if flags is not None and "avx" not in flags:
        raise ConfigError(
            "this processor has no AVX, which dlib's face detector is built for: it would end with "
            "'Illegal instruction'. Use another machine, or let a virtual machine pass the host's "
            "processor on (QEMU: -cpu host)"
        )
