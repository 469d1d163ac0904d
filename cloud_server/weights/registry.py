"""Which weights and tails are served."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.batch_observer import BatchObserver
from splitfer.cloud_server.inference.tail import ServedTail
from splitfer.cloud_server.weights.served import ServedWeights, cloud_tails, quoted, serve_weights
from splitfer.shared.errors import (
    ConfigError,
    ModelMismatch,
    NotReady,
    RefusedChange,
    SplitFerError,
    WeightsError,
)
from splitfer.shared.weights import Weights, shipped_folders

__all__ = ["Opener", "Registry", "ServedWeights"]
log = logging.getLogger(__name__)

# Opens a folder, or raises WeightsError. It calls the second argument between its steps, which
# raises where nobody wants the weights any more.
Opener = Callable[[Path, Callable[[], None]], ServedWeights]


class Registry:
    """Weights by fingerprint, one of them the default. Belongs to one event loop, on which each
    change is one step: no request sees half of it. Without an ``opener`` nothing can be changed.

        add ----> opened and checked in a thread ----> served, and the default where asked
                       `-- failed: as before
        remove -> no longer given out -> its requests end -> closed
    """

    def __init__(self, served: Sequence[ServedWeights], opener: Opener | None = None) -> None:
        self._served = {weights.fingerprint: weights for weights in served}
        self._default = served[0].fingerprint
        # Former defaults that are still served, the last one last.
        self._before: list[str] = []
        self._leaving: dict[ServedWeights, asyncio.Task[None]] = {}
        self._opener = opener
        # One folder at a time: the processor is the requests'.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="weights")
        self._watch: BatchObserver | None = None
        self._started = self._closed = False

    @classmethod
    def load(cls, config: CloudConfig) -> Registry:
        """Open, verify and hold what ``config`` names.

        Raises:
            WeightsError: missing, altered, or wrong numbers on this machine; names the folder.
            ConfigError: the tail named as default is not a cloud tail of the default weights, these
                do not know the prior named as default, or two folders hold the same weights.
        """
        opened: dict[str, Weights] = {}
        for folder in config.weights or shipped_folders():
            weights = Weights(folder, config.device)
            other = opened.setdefault(weights.manifest.fingerprint, weights)
            if other is not weights:
                raise ConfigError(
                    f"weights: {other.folder} and {folder} are both {weights.manifest.fingerprint}"
                )
        default = next(iter(opened.values()))
        ids = cloud_tails(default)
        if config.tail and config.tail not in ids:
            raise ConfigError(
                f"tail: {config.tail!r} is no cloud tail of {default.folder}; "
                f"there are {', '.join(ids)}"
            )

        default.prior(config.prior, default.manifest.default_label_set)

        def open_folder(folder: Path, go_on: Callable[[], None]) -> ServedWeights:
            served = serve_weights(Weights(folder, config.device), config, go_on)
            _trim()
            return served

        served = [serve_weights(weights, config) for weights in opened.values()]
        _trim()
        return cls(served, open_folder)

    @property
    def default(self) -> ServedWeights:
        """The weights that answer whole pictures."""
        return self._served[self._default]

    @property
    def previous(self) -> str | None:
        """The fingerprint that ``roll_back`` would make the default; None where there is none."""
        return self._before[-1] if self._before else None

    @property
    def served(self) -> tuple[ServedWeights, ...]:
        """All weights that are given out, the default first."""
        others = (w for fingerprint, w in self._served.items() if fingerprint != self._default)
        return (self.default, *others)

    @property
    def leaving(self) -> tuple[ServedWeights, ...]:
        """Weights that are no longer given out and still have requests to answer."""
        return tuple(self._leaving)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of all weights, the default first."""
        return tuple(weights.fingerprint for weights in self.served)

    @property
    def tails(self) -> list[ServedTail]:
        """All tails that are served, of each weights the backbone last."""
        return [tail for weights in self._served.values() for tail in weights.networks]

    def weights(self, fingerprint: str) -> ServedWeights:
        """The weights with ``fingerprint``.

        Raises:
            ModelMismatch: they are not served here.
        """
        if fingerprint not in self._served:
            here = ", ".join(self.fingerprints)
            raise ModelMismatch(
                f"the latents were made by weights {quoted(fingerprint)}; served: {here}"
            )
        return self._served[fingerprint]

    # -- life ------------------------------------------------------------------------------------

    def start(self, watch: BatchObserver | None = None) -> None:
        """Begin to answer; ``watch`` observes every batch."""
        self._started, self._watch = True, watch
        for weights in self._served.values():
            self._start(weights)

    async def close(self) -> None:
        """Stop every tail, and whatever is being loaded."""
        self._closed = True
        self._loader.shutdown(wait=False, cancel_futures=True)
        for weights in (*self._served.values(), *self._leaving):
            await _close(weights)
        leaving = list(self._leaving.values())
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    # -- changes ---------------------------------------------------------------------------------

    async def add(self, folder: Path, default: bool = False) -> ServedWeights:
        """Open, verify and serve the weights in ``folder``; then make them the default if asked.

        Where their fingerprint is served already: the same manifest changes nothing, another one
        (new tails behind the same head) replaces what is served.

        Raises:
            WeightsError: they cannot be used; all is served as before.
            RefusedChange: nothing can be changed here.
            NotReady: the server stopped meanwhile.
        """
        opener = self._changeable()
        self._go_on()
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._loader, self._opened, opener, folder)
        try:
            new = await job
        except asyncio.CancelledError:
            if job.cancelled() and self._closed:
                raise _stopping() from None
            raise
        self._go_on()
        fingerprint = new.fingerprint
        old = self._served.get(fingerprint)
        if old is not None and old.weights.manifest == new.weights.manifest:
            new = old
        else:
            self._served[fingerprint] = new
            if self._started:
                self._start(new)
            log.info("serving %s too, from %s", fingerprint, folder)
            if old is not None:
                self._leave(old)
        if default:
            self.make_default(fingerprint)
        return new

    def make_default(self, fingerprint: str) -> None:
        """Let these weights answer whole pictures.

        Raises:
            RefusedChange: they are not served.
        """
        self._changeable()
        if fingerprint not in self._served:
            raise self._not_served(fingerprint)
        if fingerprint != self._default:
            self._before = [one for one in self._before if one != fingerprint] + [self._default]
            self._default = fingerprint
            log.info("the default is %s", fingerprint)

    def roll_back(self) -> None:
        """Make the former default the default again.

        Raises:
            RefusedChange: there was none, or it was unloaded.
        """
        self._changeable()
        if not self._before:
            raise RefusedChange("no weights that were the default before are served")
        self._default = self._before.pop()
        log.info("the default is %s again", self._default)

    def remove(self, fingerprint: str) -> asyncio.Task[None]:
        """Give these weights out no more, at once. The task is done when their requests have been
        answered and their memory has been given back; cancelling it gives up on those requests.

        Raises:
            RefusedChange: they are the default, or not served.
        """
        self._changeable()
        if fingerprint not in self._served:
            raise self._not_served(fingerprint)
        if fingerprint == self._default:
            raise RefusedChange(f"{fingerprint} is the default; make others the default first")
        self._before = [one for one in self._before if one != fingerprint]
        return self._leave(self._served.pop(fingerprint))

    def _opened(self, opener: Opener, folder: Path) -> ServedWeights:
        try:
            return opener(folder, self._go_on)
        except SplitFerError:
            raise
        except Exception as error:  # such as a network of another shape
            log.exception("%s cannot be opened", folder)
            why = " ".join(str(error).split())[:200]
            raise WeightsError(f"{folder} cannot be used: {why}") from error

    def _start(self, weights: ServedWeights) -> None:
        for tail in weights.networks:
            tail.start(self._watch)

    def _leave(self, weights: ServedWeights) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._drained(weights), name="unload")
        self._leaving[weights] = task
        return task

    async def _drained(self, weights: ServedWeights) -> None:
        what, folder = weights.fingerprint, weights.weights.folder
        try:
            await weights.unused()
        finally:
            await _close(weights)
            del self._leaving[weights]
        del weights  # what follows needs them gone
        if not self._closed:
            await asyncio.to_thread(_trim)
        log.info("unloaded %s, from %s", what, folder)

    def _changeable(self) -> Opener:
        if self._opener is None:
            raise RefusedChange("what is served here is fixed when the server starts")
        return self._opener

    def _go_on(self) -> None:
        if self._closed:
            raise _stopping()

    def _not_served(self, fingerprint: str) -> RefusedChange:
        here = ", ".join(self.fingerprints)
        return RefusedChange(f"no weights {quoted(fingerprint)} are served; there are {here}")


async def _close(weights: ServedWeights) -> None:
    for tail in weights.networks:
        await tail.close()


def _trim() -> None:
    """Hand freed memory back to the system: of what opening a network takes, and of networks that
    are closed, glibc keeps tens of megabytes otherwise."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _stopping() -> NotReady:
    return NotReady("the server is stopping")
