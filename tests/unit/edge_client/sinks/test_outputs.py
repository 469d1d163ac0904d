from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from splitfer.edge_client.sinks.heartbeat import AnswersAndHeartbeats
from splitfer.edge_client.sinks.outputs import Outputs
from splitfer.edge_client.sinks.sink import ReaderLeft
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from tests.unit.edge_client.answers import face, frame


class Kept:
    def __init__(self, error: OSError | None = None) -> None:
        self.frames: list[int] = []
        self.closed = 0
        self._error = error

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        if self._error is not None:
            raise self._error
        self.frames.append(frame.index)

    def close(self) -> None:
        self.closed += 1
        if self._error is not None:
            raise self._error


def test_one_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    full, first, last = Kept(OSError(errno.ENOSPC, "No space left on device")), Kept(), Kept()
    outputs = Outputs({"output": first, "annotate": full, "explain": last})
    for index in range(3):
        outputs.write(frame(index), [face()])
    outputs.close()
    assert first.frames == last.frames == [0, 1, 2]
    assert first.closed == full.closed == last.closed == 1
    assert outputs.failures == {"annotate": 4}
    assert caplog.text.count("--annotate: No space left on device") == 1


def test_nobody_reads_on(caplog: pytest.LogCaptureFixture) -> None:
    outputs = Outputs({"output": Kept(ReaderLeft(errno.EPIPE, "Broken pipe"))})
    with pytest.raises(BrokenPipeError):
        outputs.write(frame(0), [face()])
    assert caplog.text == ""


def test_a_pipe_that_is_not_standard_output_may_break() -> None:
    outputs = Outputs({"output": Kept(OSError(errno.EPIPE, "Broken pipe"))})
    outputs.write(frame(0), [face()])
    assert outputs.failures == {"output": 1}


def test_a_frame_with_nothing_to_write_does_not_mend_an_output(tmp_path: Path) -> None:
    class Full(AnswersAndHeartbeats):
        full = True

        def _write(self, records: Sequence[dict[str, Any]]) -> None:
            if self.full and records:
                raise OSError(errno.ENOSPC, "No space left on device")
            super()._write(records)

    lines = Full(str(tmp_path / "answers.jsonl"), "camera", every_s=1e9)
    outputs = Outputs({"output": lines}, lines.idle)
    outputs.write(frame(0), [face()])
    assert outputs.failing == {"output": "No space left on device"}
    lines.full = False
    outputs.write(frame(1), [])
    outputs.idle()
    assert outputs.failing == {"output": "No space left on device"}
    outputs.write(frame(2), [face()])
    assert outputs.failing == {}
    outputs.close()
