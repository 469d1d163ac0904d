"""A camera that comes and goes for a year leaves nothing behind.

SPLITFER_RECONNECTS=1000 has it do so a thousand times.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from splitfer.edge_client.sources.bounded_decoder import DecoderProcess
from splitfer.edge_client.sources.live import Stream
from splitfer.shared.errors import SourceError
from tests.camera import Camera, Connection
from tests.processes import wait_until

TIMES = int(os.environ.get("SPLITFER_RECONNECTS", "24"))
_WARM = 8
# A year of a camera that goes once an hour would be 9,000 times.
_GROWN_BYTES = 8 * 2**20


def resident_bytes(process: object) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def open_files(process: object) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def test_memory_and_descriptors_stay_as_they_were() -> None:
    def comes_and_goes(connection: Connection) -> None:
        # Another size now and then, and a picture that is none.
        connection.pictures(30, pause_s=0.001)
        connection.part(b"\xff\xd8 no picture")

    with Camera([comes_and_goes]) as camera:
        process = DecoderProcess(camera.address, "door")
        stream = Stream("door", process.open, wait=lambda _: False, end=process.close)
        before: tuple[int, ...] | None = None
        taken, frames = iter(stream), 0  # whose end would end the process
        for _ in taken:
            frames += 1
            if before is None and stream.reopened == _WARM:
                gc.collect()
                pid = process.pid
                before = (resident_bytes("self"), resident_bytes(pid), open_files(pid))
            if stream.reopened == TIMES:
                break
        gc.collect()
        after = (resident_bytes("self"), resident_bytes(pid), open_files(pid))
        same = process.pid == pid
        stream.close()
    assert before is not None
    print(f"{TIMES} times, {frames} pictures: {before} -> {after}")
    assert same
    assert after[0] - before[0] < _GROWN_BYTES
    assert after[1] - before[1] < _GROWN_BYTES
    assert after[2] == before[2]


def test_decoders_that_die_leave_nothing_open() -> None:
    with Camera([lambda connection: connection.pictures(pause_s=0.001)]) as camera:
        process = DecoderProcess(camera.address, "door")
        before: tuple[int, int] | None = None
        for time in range(max(6, TIMES // 10)):
            pictures = process.open().pictures(threading.Event())
            next(pictures)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(SourceError, match="by signal 9"):
                for _ in pictures:
                    pass
            if time == 2:
                before = (resident_bytes("self"), len(os.listdir("/proc/self/fd")))
        # The camera's own connections may still be ending.
        assert before is not None
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before[1], "all to be closed")
        assert resident_bytes("self") - before[0] < _GROWN_BYTES
        process.close()
