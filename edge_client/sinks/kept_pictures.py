"""Pictures of a camera that are kept for a stated time, and no longer.

    frames -> Segments -> NAME-<when it began>.mp4, one after another
                 |
            KeptPictures: a list on disk of what goes when; a thread removes it

What a run that was killed left goes with the next run's start.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from splitfer.edge_client.sinks.sink import Sink
from splitfer.edge_client.sources.frame import Frame
from splitfer.shared.contracts import FaceAnswer
from splitfer.shared.deadline import Clock
from splitfer.shared.whole_file import write_whole

LIST = "pictures.json"
LOOK_EVERY_S = 10.0
"""How often it is looked for what is to go; it goes so much earlier."""

LONGEST_SEGMENT_S = 3600.0
_PARTS = 10

_log = logging.getLogger(__name__)


def segment_s(keep_s: float) -> float:
    """How long one file of pictures is that are kept for ``keep_s``: it goes as a whole, when the
    oldest picture in it must."""
    return min(LONGEST_SEGMENT_S, keep_s / _PARTS)


class KeptPictures:
    """The list, in ``folder``, of files of pictures and of when each is to go, by the clock
    ``wall``. Safe to use from several threads and processes.

    ``fault`` says what could not be removed, or why the list could not be written.
    """

    def __init__(self, folder: Path, wall: Clock = time.time) -> None:
        self.fault: str | None = None
        self._list, self._wall = folder / LIST, wall

    def add(self, path: Path, until_s: float) -> None:
        """``path``, which is yet to be made, is to go at the instant ``until_s``.

        Raises:
            OSError: that cannot be noted: the file must not be made.
        """
        with self._changed() as kept:
            kept[os.path.abspath(path)] = until_s

    def purge(self) -> None:
        """Remove what must go. What is no longer there is forgotten."""
        if not self._list.exists():
            return
        try:
            with self._changed() as kept:
                now_s = self._wall() + LOOK_EVERY_S
                fault = None
                for name, until_s in list(kept.items()):
                    if until_s > now_s:
                        continue
                    try:
                        _remove(Path(name))
                    except OSError as error:
                        fault = f"{name} is to be removed: {error.strerror or error}"
                    else:
                        del kept[name]
        except OSError as error:
            fault = f"{self._list}: {error.strerror or error}"
        if fault is not None and fault != self.fault:
            _log.error("%s", fault)
        self.fault = fault

    @contextmanager
    def _changed(self) -> Iterator[dict[str, float]]:
        """The list, written again where it differs at the end; nobody else has it meanwhile."""
        self._list.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            self._list.with_name(LIST + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = self._read()
            kept = dict(before)
            yield kept
            if kept != before:
                write_whole(self._list, json.dumps(kept, indent=1).encode() + b"\n")
        finally:
            os.close(descriptor)

    def _read(self) -> dict[str, float]:
        try:
            kept = json.loads(self._list.read_bytes())
            return {str(name): float(until_s) for name, until_s in kept.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise OSError(f"it is damaged ({error}); look which pictures it named") from error


class PurgeThread:
    """Calls ``kept.purge`` now, and until it is closed."""

    def __init__(self, kept: KeptPictures, every_s: float = LOOK_EVERY_S) -> None:
        self._kept, self._every_s = kept, every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        kept.purge()
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            self._kept.purge()

    def close(self) -> None:
        """Look a last time; a second time does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            self._kept.purge()


class Segments:
    """A sink that gives its frames to one after another that ``made`` makes of a path: ``path``
    with the time in its name. Each has ``segment_s`` of time, and its file is noted in ``kept``
    before there is one. ``idle`` is for the time in which no frame comes.
    """

    def __init__(
        self,
        path: Path,
        made: Callable[[Path], Sink],
        kept: KeptPictures,
        keep_s: float,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._path, self._made, self._kept, self._keep_s = path, made, kept, keep_s
        self._clock, self._wall = clock, wall
        self._sink: Sink | None = None
        self._until_s = 0.0

    def write(self, frame: Frame, faces: Sequence[FaceAnswer]) -> None:
        """Give one frame on.

        Raises:
            OSError: see ``Sink.write``; a segment's failure ends with it.
        """
        self.idle()
        if self._sink is None:
            path = self._named()
            self._kept.add(path, self._wall() + self._keep_s)
            self._sink = self._made(path)
            self._until_s = self._clock() + segment_s(self._keep_s)
        self._sink.write(frame, faces)

    def idle(self) -> None:
        """Finish the segment, where its time is over."""
        if self._sink is not None and self._clock() >= self._until_s:
            self.close()

    def close(self) -> None:
        """Finish the segment; a second time does nothing."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()

    def _named(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._wall()))
        for number in range(1, 1000):
            again = f"-{number}" if number > 1 else ""
            path = self._path.with_stem(f"{self._path.stem}-{stamp}{again}")
            if not path.exists():
                return path
        raise FileExistsError(f"there are a thousand files like {path}")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    # What a kill left of a file that was not named yet.
    with suppress(OSError):
        for draft in path.parent.glob(f".{escape(path.name[:30])}.*.part"):
            draft.unlink(missing_ok=True)
