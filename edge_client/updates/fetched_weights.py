"""The weights of a run that may be replaced by newer ones from its server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.updates.server_weights import ServerWeights
from splitfer.edge_client.updates.updater import Updater
from splitfer.edge_client.updates.weights_store import WeightsStore
from splitfer.shared.extras import needing
from splitfer.shared.weights import default_folder


class FetchedWeights:
    """Says for settings which weights are used. Where they name no ``weights_key`` nothing that
    was fetched is."""

    def __init__(self, root: Path) -> None:
        self._store = WeightsStore(root)

    def used_in(self, config: EdgeConfig) -> EdgeConfig:
        """The settings with the weights that are to be loaded now."""
        if config.weights_key is not None:
            self._store.load()
        return self.looked_at_in(config)

    def looked_at_in(self, config: EdgeConfig) -> EdgeConfig:
        """The weights as ``doctor`` and other readers see them: nothing is noted."""
        if config.weights_key is None:
            return config
        return EdgeConfig(**{**dict(config), "weights": self._store.folder(_base(config))})

    def given_up(self, config: EdgeConfig, why: str) -> bool:
        """The weights cannot be loaded: whether others are used from now on."""
        if config.weights_key is None or self._store.chosen.name is None:
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
        self._store.begun()
        return Updater(
            self._store, _base(config), key, config, ServerWeights(config), books, renew, on_event
        )


def _base(config: EdgeConfig) -> Path:
    return config.weights or default_folder()
