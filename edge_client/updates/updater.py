"""Asks the server for newer weights now and then, and has the run go on with them.

ask -> signed? newer? -> fetch -> judge -> on trial, settings are read again -> confirm
                                              |
                                              +-> frames are lost: the ones of before
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.updates.fetch import Ask, Offered, Stopped, fetch, offered
from splitfer.edge_client.updates.judge import judge
from splitfer.edge_client.updates.weights_store import (
    PART,
    WeightsStore,
    folder_name,
    mark_of,
)
from splitfer.shared.errors import ConfigError, LinkError, SplitFerError, WeightsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FRAMES_ON_TRIAL = 30
"""Answered frames after which new weights have proved themselves."""

LOST_ON_TRIAL = 3
"""Frames that are lost meanwhile, after which they have not."""

_LOOK_EVERY_S = 1.0
_FIRST_S = 20.0

_log = logging.getLogger(__name__)


class Updater:
    """Looks after the weights of one run, in a thread of its own until it is closed.

    ``ask`` is one call to the server, ``books`` gives the frames ``answered`` and ``lost`` so far;
    ``renew`` has the settings, and so the weights, read again. ``on_event`` is called with what
    happens: an event and its facts. It asks every ``weights_every_h``, a tenth sooner or later by
    chance. ``set_aside`` says why the run does not use what was fetched: a trial waits then.
    """

    def __init__(
        self,
        store: WeightsStore,
        base: Path,
        key: Ed25519PublicKey,
        config: EdgeConfig,
        ask: Ask,
        books: Callable[[], dict[str, int]],
        renew: Callable[[], None],
        on_event: Callable[..., None],
        judged: Callable[[Path, EdgeConfig, Callable[[], bool]], None] = judge,
        set_aside: str | None = None,
    ) -> None:
        self._store, self._base, self._key = store, base, key
        self._config, self._ask, self._books = config, ask, books
        self._renew, self._on_event, self._judged = renew, on_event, judged
        self._set_aside = set_aside
        self._every_s = config.weights_every_h * 3600
        self._before = books()
        self._last_fault: str | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weights", daemon=True)
        self._thread.start()

    def report(self) -> dict[str, Any]:
        """The folder in use (None: that of the settings), its trial, why it is not used though it
        is there, and the last fault."""
        chosen = self._store.chosen
        return {
            "fetched": chosen.name,
            "trial": chosen.trial,
            "release": chosen.release,
            "set_aside": self._set_aside,
            "failure": self._last_fault,
        }

    def look(self) -> bool:
        """Ask once; whether there are newer weights, which are on trial now.

        Raises:
            LinkError, WeightsError, OSError, Stopped: there are none that could be taken.
        """
        store = self._store
        offer = offered(self._ask, store.folder(self._base), self._key)
        if offer is None or mark_of(offer.sha256) in store.chosen.refused:
            return False
        had = store.chosen.release
        # The same once more where it is there no longer.
        if offer.release < had or (offer.release == had and store.chosen.name is not None):
            raise WeightsError(f"the server offers release {offer.release}; this device had {had}")
        name = folder_name(offer.manifest.fingerprint, offer.sha256)
        part = store.root / f"{name}{PART}"
        self._forget_other_parts(part)
        fetch(self._ask, offer, part, self._closed.is_set)
        self._judge(offer, part)
        if self._closed.is_set():
            raise Stopped
        folder = store.root / name
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(part, folder)
        store.take(name, offer.release)
        return True

    def close(self) -> None:
        """Ask no more; a second time does nothing."""
        self._closed.set()
        self._ask.close()
        self._thread.join()

    def _judge(self, offer: Offered, part: Path) -> None:
        try:
            self._judged(part, self._config, self._closed.is_set)
        except WeightsError:
            self._store.refuse(mark_of(offer.sha256))
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _forget_other_parts(self, own: Path) -> None:
        """Delete partly fetched releases that are no longer offered."""
        for folder in self._store.root.glob(f"*{PART}"):
            if folder != own:
                shutil.rmtree(folder, ignore_errors=True)

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        left_s = min(_FIRST_S * random.uniform(0.5, 1.5), self._every_s)
        while not self._closed.wait(_LOOK_EVERY_S if self._on_trial else left_s):
            try:
                if self._on_trial:
                    self._try()
                else:
                    left_s = self._every_s * random.uniform(0.9, 1.1)
                    if self.look():
                        chosen = self._store.chosen
                        self._on_event("weights_taken", weights=chosen.name, release=chosen.release)
                        self._renew()
                        return
                self._last_fault = None
            except Stopped:
                return
            except ConfigError as error:
                self._failed(f"they do not go with the settings: {error}", False)
            except (SplitFerError, OSError) as error:
                self._failed(str(error), isinstance(error, LinkError))
            except Exception as error:  # whatever it is, the run goes on
                _log.exception("newer weights could not be looked for")
                self._failed(f"unexpected: {type(error).__name__}", False)

    @property
    def _on_trial(self) -> bool:
        return self._store.on_trial and self._set_aside is None

    def _try(self) -> None:
        """Whether the weights on trial have proved themselves, or have not."""
        now = self._books()
        lost = now["lost"] - self._before["lost"]
        name, release = self._store.chosen.name, self._store.chosen.release
        if lost >= LOST_ON_TRIAL:
            why = f"{lost} frames were lost with them"
            self._store.give_up(why)
            self._on_event("weights_given_up", weights=name, release=release, why=why)
            self._renew()
        elif now["answered"] - self._before["answered"] >= FRAMES_ON_TRIAL:
            self._store.confirm()
            self._on_event("weights_confirmed", weights=name, release=release)

    def _failed(self, why: str, link: bool) -> None:
        if why == self._last_fault or self._closed.is_set():
            return
        self._last_fault = why
        if link:  # which the run's own link speaks of
            _log.info("newer weights could not be asked for: %s", why)
            return
        _log.error("newer weights are not taken: %s", why)
        self._on_event("weights_refused", why=why)
