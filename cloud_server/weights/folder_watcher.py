"""A directory of weights, kept in step with what is served: a folder that appears in it is loaded,
one that goes is unloaded. The default is not its business."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.weights.registry import Registry
from splitfer.shared.errors import ConfigError, NotReady, RefusedChange, SplitFerError

POLL_S = 1.0
_MANIFEST = "manifest.json"
# Name, size, time of change and inode of each file: what a change of a folder changes.
Signature = tuple[tuple[str, int, int, int], ...]

log = logging.getLogger(__name__)


class Watch:
    """Compares the directory with the registry, again and again. Belongs to the registry's loop.

    A folder is looked at once it has a manifest and has not changed between two looks (at the
    first look, as it is): one that is still being copied is left in peace. One that cannot be
    used is logged once, and left alone until it changes. Names that begin with a dot do not
    count.
    """

    def __init__(self, folder: Path, registry: Registry) -> None:
        # Not resolved: a folder may be a link, and a new one behind it is a change.
        self._folder = Path(os.path.abspath(folder))
        self._registry = registry
        self._seen: dict[Path, Signature] | None = None
        self._tried: dict[Path, Signature] = {}
        # Fingerprints, by the folder that they were loaded from.
        self._holds: dict[Path, str] = {}
        self._said: dict[Path, str] = {}

    async def look(self) -> None:
        """One comparison; returns once new folders are loaded or have failed."""
        try:
            found = await asyncio.to_thread(_signatures, self._folder)
        except OSError as error:
            # A disk that is gone for a moment is no wish to unload everything.
            self._say(self._folder, f"cannot be read, all stays as it is: {error.strerror}")
            return
        self._said.pop(self._folder, None)
        before, self._seen = self._seen, found
        for folder, signature in found.items():
            settled = before is None or before.get(folder) == signature
            if settled and self._tried.get(folder) != signature:
                self._tried[folder] = signature
                await self._load(folder)
        self._unload(found)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.look()
            except NotReady:  # the server stops
                return
            except Exception:  # whatever it was, the next look may do better
                log.exception("watch: a look at %s failed", self._folder)

    async def _load(self, folder: Path) -> None:
        try:
            served = await self._registry.add(folder)
        except NotReady:
            raise
        except SplitFerError as error:
            log.warning("watch: %s is left alone until it changes: %s", folder, error)
        else:
            self._holds[folder] = served.fingerprint

    def _unload(self, found: dict[Path, Signature]) -> None:
        for weights in self._registry.served:
            folder = Path(os.path.abspath(weights.weights.folder))
            fingerprint = weights.fingerprint
            if folder.parent != self._folder:
                continue
            if folder in found and self._holds.get(folder, fingerprint) == fingerprint:
                self._said.pop(folder, None)
                continue
            try:
                self._registry.remove(fingerprint)
            except RefusedChange as error:  # asked again at every look
                self._say(folder, f"is gone, and stays in service: {error}")
        for folder in self._tried.keys() - found.keys():
            del self._tried[folder]
            self._holds.pop(folder, None)

    def _say(self, folder: Path, what: str) -> None:
        if self._said.get(folder) != what:
            self._said[folder] = what
            log.warning("watch: %s %s", folder, what)


@asynccontextmanager
async def watching(
    config: CloudConfig, registry: Registry, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Watch ``config.watch``, where one is set, as long as the context lasts. It is entered after
    the first look, so that a restart forgets nothing, or once ``stop`` is set.

    Raises:
        ConfigError: there is no such directory.
    """
    if config.watch is None:
        yield
        return
    if not config.watch.is_dir():
        raise ConfigError(f"watch: {config.watch} is no folder")
    watch = Watch(config.watch, registry)
    stopped = asyncio.create_task(stop.wait())
    task = asyncio.create_task(watch.look(), name="watch")
    try:
        await asyncio.wait({stopped, task}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await task
            task = asyncio.create_task(watch.run(), name="watch")
        yield
    finally:
        for one in (stopped, task):
            one.cancel()
        with suppress(asyncio.CancelledError, NotReady):
            await task


def _signatures(directory: Path) -> dict[Path, Signature]:
    """The folders in ``directory`` that have a manifest, by name.

    Raises:
        OSError: the directory itself cannot be read.
    """
    found: dict[Path, Signature] = {}
    for name in sorted(os.listdir(directory)):
        folder = directory / name
        if name.startswith("."):
            continue
        # A folder that goes away meanwhile is not there; nor is a plain file a folder.
        with suppress(OSError), os.scandir(folder) as entries:
            files = [(entry.name, entry.stat()) for entry in entries]
            if any(file == _MANIFEST for file, _ in files):
                found[folder] = tuple(
                    sorted((f, s.st_size, s.st_mtime_ns, s.st_ino) for f, s in files)
                )
    return found
