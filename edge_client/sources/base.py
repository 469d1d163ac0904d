"""What every source of frames offers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from splitfer.edge_client.source_name import as_text
from splitfer.edge_client.sources.frame import Frame


class Source(ABC):
    """Frames in order, once. A context manager: leaving it closes it.

    ``name`` is what was asked for, as text, without a password. ``live`` says that frames come
    whether or not anybody takes them. ``self_paced`` says that a device sets that pace: a live
    source that is not self-paced is a file, and its reader must wait until a frame's ``time_s`` has
    come. ``moving`` says that frames show one scene, one after another; pictures of a folder do
    not. ``frames_total`` (a file's own claim) and ``fps`` are None where nobody knows. ``skipped``
    counts what could not be read and was left out, ``reopened`` how often it came back.
    """

    name: str
    live: bool
    self_paced: bool
    frames_total: int | None
    fps: float | None
    moving = True

    def __init__(self, name: str, live: bool, self_paced: bool) -> None:
        self.name = as_text(name)
        self.live = live
        self.self_paced = self_paced
        self.frames_total = None
        self.fps = None
        self.skipped = 0
        self.reopened = 0
        self._closed = threading.Event()

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames, until the end or until it is closed.

        Raises:
            SourceError: it can be read no further.
        """

    @property
    def fault(self) -> str | None:
        """Why no picture comes, where it is waited for."""
        return None

    def close(self) -> None:
        """End the iteration. From any thread; a second time does nothing."""
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
