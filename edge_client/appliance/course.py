"""Whether a run goes on, ends, or goes on with other settings, as signals say.

Ctrl-C, SIGTERM    the run ends: the frame in hand is answered, the outputs are whole; a second
                   time interrupts at once, and so does a frame that takes too long: whoever reads
                   the answers, or a disk, may have hung
SIGHUP             of the terminal that the run belongs to: it ends the same way. A run that
                   belongs to none, a service, reads its settings again. As nohup leaves it:
                   nothing
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol, Self

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.sources.base import Source
from splitfer.shared.errors import SplitFerError

# A thread that reads settings ends with the process.
_JOIN_S = 5.0
# For the frame in hand, whole seconds: Docker kills after ten.
_FRAME_S = 7
# Of /proc/N/stat after the name.
_TERMINAL = 4

_log = logging.getLogger(__name__)


class Endable(Protocol):
    """A feed, or several."""

    source: Source

    def close(self) -> None:
        """End the reading."""
        ...


class Course:
    """Ends the feed of a run where somebody says stop, or where other settings are to be used,
    which ``load`` gives, in a thread of its own. ``came`` holds the signals that end the run, and
    ``begin`` sets ``begun``. A context manager: signals are heard from the first ``begin`` until it
    is left.
    """

    def __init__(self, load: Callable[[], EdgeConfig]) -> None:
        self.came: list[int] = []
        self.begun = self._here = False
        self._load = load
        self._feed: Endable | None = None
        self._next: EdgeConfig | None = None
        self._fault = ""
        self._refused: Callable[[str], None] = lambda why: None
        # The one queue that a signal's handler may use, whatever it interrupts.
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="settings", daemon=True)
        self._handlers: dict[int, Any] = {}

    def begin(self, feed: Endable, refused: Callable[[str], None], here: bool = True) -> None:
        """End ``feed`` from now on; call ``refused`` with why changed settings are not used.
        ``here``: its frames are answered in this thread, which may hang in one."""
        self._refused, self.begun, self._here = refused, True, here
        if self._fault:
            refused(self._fault)
            self._fault = ""
        self._feed = feed
        if not self._handlers:
            self._hear()
            self._reader.start()
        if self.came or self._next is not None:
            feed.close()

    def ask(self) -> None:
        """Have the settings read again. From any thread."""
        self._asked.put(True)

    def turn(self) -> EdgeConfig | None:
        """The settings that are to be used now that the feed has ended; None where the run ends."""
        self._feed = None
        signal.alarm(0)
        settings, self._next = self._next, None
        return None if self.came else settings

    def cannot(self, fault: str) -> None:
        """The settings of the last ``turn`` could not be begun with."""
        _log.error("the new settings cannot be used: %s; the old ones stay in force", fault)
        self._fault = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        signal.alarm(0)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._reader.is_alive():
            self._asked.put(False)
            self._reader.join(_JOIN_S)

    def _hear(self) -> None:
        numbers: dict[int, Callable[[int, FrameType | None], None]] = {
            signal.SIGINT: self._stop,
            signal.SIGTERM: self._stop,
            signal.SIGALRM: self._interrupt,
        }
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
            numbers[signal.SIGHUP] = self._stop if has_terminal() else lambda *_: self.ask()
        self._handlers = {number: signal.signal(number, act) for number, act in numbers.items()}

    def _stop(self, number: int, _: FrameType | None) -> None:
        # A terminal that closes may say so twice, to the process and to its group.
        if self.came and number != signal.SIGHUP:
            raise KeyboardInterrupt
        self.came.append(number)
        if self._feed is not None:
            signal.alarm(_FRAME_S if self._here else 0)
            self._feed.close()

    def _interrupt(self, _: int, __: FrameType | None) -> None:
        if self._feed is not None:
            raise KeyboardInterrupt

    def _read(self) -> None:
        while self._asked.get():
            try:
                feed = self._feed
                if feed is not None and not (feed.source.live and feed.source.self_paced):
                    raise SplitFerError(
                        f"{feed.source.name} is no camera or stream: it is read to its end with "
                        "the settings that it began with"
                    )
                self._next = self._load()
            except SplitFerError as error:
                _log.error("settings were not read again: %s; the old ones stay in force", error)
                self._refused(str(error))
            except Exception as error:  # whatever it is, the run goes on
                _log.exception("settings were not read again")
                self._refused(f"unexpected: {type(error).__name__}")
            else:
                _log.warning("settings were read again; the run goes on with them")
                if (feed := self._feed) is not None:
                    feed.close()


def has_terminal(stat: Path = Path("/proc/self/stat")) -> bool:
    """Whether this process belongs to a terminal, which sends it SIGHUP when it closes. Where that
    is not known, it is assumed to."""
    try:
        return stat.read_text().rpartition(")")[2].split()[_TERMINAL] != "0"
    except (OSError, IndexError):
        return True
