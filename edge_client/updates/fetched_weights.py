"""The weights of a run that may be replaced by newer ones from its server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.updates.server_weights import ServerWeights
from splitfer.edge_client.updates.updater import Updater
from splitfer.edge_client.updates.weights_store import WeightsStore
from splitfer.shared.errors import ConfigError, WeightsError
from splitfer.shared.extras import needing
from splitfer.shared.weights import Weights, default_folder

_log = logging.getLogger(__name__)


class FetchedWeights:
    """Says for settings which weights are used. Where they name no ``weights_key`` nothing that
    was fetched is. Fetched ones that have not what the settings name (a local model, a rate,
    labels, a prior), where those of before the fetching have it, are set aside for as long as the
    settings name it: what a user chose counts for more than what came by itself."""

    def __init__(self, root: Path) -> None:
        self._store = WeightsStore(root)
        self._set_aside: str | None = None

    def used_in(self, config: EdgeConfig) -> EdgeConfig:
        """The settings with the weights that are to be loaded now."""
        used = self.looked_at_in(config)
        # What is set aside is not loaded, so that it cannot fail at it.
        if config.weights_key is None or self._set_aside is not None:
            return used
        self._store.load()
        return self.looked_at_in(config)

    def looked_at_in(self, config: EdgeConfig) -> EdgeConfig:
        """The weights as ``doctor`` and other readers see them: nothing is noted."""
        if config.weights_key is None:
            return config
        base = _base(config)
        folder = self._store.folder(base)
        before, self._set_aside = self._set_aside, None
        lacking = None if folder == base else _lacking(folder, config)
        if lacking is not None and _lacking(base, config) is None:
            self._set_aside, folder = lacking, base
            if lacking != before:
                _log.error(
                    "the fetched weights are set aside, and those in %s used, for what the "
                    "settings ask for: %s",
                    base,
                    lacking,
                )
        return EdgeConfig(**{**dict(config), "weights": folder})

    def given_up(self, config: EdgeConfig, why: str) -> bool:
        """The weights cannot be loaded: whether others are used from now on."""
        if config.weights_key is None or self._store.chosen.name is None:
            return False
        if self._set_aside is not None:  # they were not what could not be loaded
            return False
        if self._store.on_trial:
            self._store.give_up(why)
        else:
            self._store.lose(why)
        return True

    def watched(
        self,
        config: EdgeConfig,
        books: Callable[[], dict[str, int]],
        renew: Callable[[], None],
        on_event: Callable[..., None],
    ) -> Updater | None:
        """A run has begun with them; what looks for newer ones, where the settings ask for it.

        Raises:
            ConfigError: the key or a certificate cannot be read.
        """
        if config.weights_key is None or config.server is None:
            return None
        with needing("edge"):
            from splitfer.shared.weights.release import read_public_key

            key = read_public_key(config.weights_key)
        if self._set_aside is None:
            self._store.begun()
        else:
            on_event("weights_set_aside", weights=self._store.chosen.name, why=self._set_aside)
        return Updater(
            self._store,
            _base(config),
            key,
            config,
            ServerWeights(config),
            books,
            renew,
            on_event,
            set_aside=self._set_aside,
        )


def _base(config: EdgeConfig) -> Path:
    return config.weights or default_folder()


def _lacking(folder: Path, config: EdgeConfig) -> str | None:
    """What the settings name and the weights in ``folder`` have not, in words; None where there is
    nothing, or the weights cannot be read, which shows when they are loaded."""
    try:
        Weights(folder).check_names(config.local_model, config.rate, config.labels, config.prior)
    except ConfigError as error:
        return str(error)
    except WeightsError:
        return None
    return None
