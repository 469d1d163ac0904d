"""Which weights and tails are served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloud_server.batch_watch import BatchWatch
from cloud_server.config import CloudConfig
from cloud_server.tail import RateTable, ServedTail
from shared.codec.payload import PayloadCodec
from shared.contracts import Path
from shared.errors import ConfigError, ModelMismatch
from shared.runtime import Head
from shared.weights import Weights, shipped_folders


@dataclass(frozen=True)
class ServedWeights:
    """One fingerprint: what its folder says, its payload codec, head and cloud tails, the default
    tail first."""

    weights: Weights
    codec: PayloadCodec
    head: Head
    tails: dict[str, ServedTail]

    @property
    def fingerprint(self) -> str:
        """Of the weights."""
        return self.weights.manifest.fingerprint

    def tail(self, name: str) -> ServedTail:
        """The tail called ``name``; empty means the default.

        Raises:
            ModelMismatch: it is not served here.
        """
        if not name:
            return next(iter(self.tails.values()))
        if name not in self.tails:
            raise ModelMismatch(f"no tail {_quoted(name)} here; there are {', '.join(self.tails)}")
        return self.tails[name]


class Registry:
    """Weights by fingerprint; the first are the default."""

    def __init__(self, served: list[ServedWeights]) -> None:
        self._served = {weights.fingerprint: weights for weights in served}
        self.default = served[0]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of all weights, the default first."""
        return tuple(self._served)

    @classmethod
    def load(cls, config: CloudConfig) -> Registry:
        """Open, verify and hold what ``config`` names.

        Raises:
            WeightsError: missing, altered, or wrong numbers on this machine; names the folder.
            ConfigError: the tail named as default is not a cloud tail of the default weights, or
                two folders hold the same weights.
        """
        opened: dict[str, Weights] = {}
        for folder in config.weights or shipped_folders():
            weights = Weights(folder)
            other = opened.setdefault(weights.manifest.fingerprint, weights)
            if other is not weights:
                raise ConfigError(
                    f"weights: {other.folder} and {folder} are both {weights.manifest.fingerprint}"
                )
        default = next(iter(opened.values()))
        ids = _cloud_tails(default)
        if config.tail and config.tail not in ids:
            raise ConfigError(
                f"tail: {config.tail!r} is no cloud tail of {default.folder}; "
                f"there are {', '.join(ids)}"
            )
        return cls([_served(weights, config) for weights in opened.values()])

    @property
    def tails(self) -> list[ServedTail]:
        """All that are served."""
        return [tail for weights in self._served.values() for tail in weights.tails.values()]

    def start(self, watch: BatchWatch | None = None) -> None:
        """Begin to answer; ``watch`` is told of every batch."""
        for tail in self.tails:
            tail.start(watch)

    async def close(self) -> None:
        """Stop every tail."""
        for weights in self._served.values():
            for tail in weights.tails.values():
                await tail.close()

    def weights(self, fingerprint: str) -> ServedWeights:
        """The weights with ``fingerprint``.

        Raises:
            ModelMismatch: they are not served here.
        """
        if fingerprint not in self._served:
            here = ", ".join(self._served)
            raise ModelMismatch(
                f"the latents were made by weights {_quoted(fingerprint)}; served: {here}"
            )
        return self._served[fingerprint]


def _cloud_tails(weights: Weights) -> list[str]:
    tails = weights.manifest.tails
    return [name for name, entry in tails.items() if entry.path is Path.CLOUD]


def _served(weights: Weights, config: CloudConfig) -> ServedWeights:
    ids = _cloud_tails(weights)
    # Other weights need not have the tail that is the default of the first.
    default = config.tail if config.tail in ids else weights.manifest.default_tail
    ids.sort(key=lambda name: name != default)  # stable: the default moves to the front
    tails = {
        name: ServedTail(
            f"{weights.manifest.fingerprint}/{name}",
            weights.tail(name, config.threads),
            _rate_table(weights, name),
            config,
        )
        for name in ids
    }
    return ServedWeights(weights, weights.payload_codec, weights.head(config.threads), tails)


def _rate_table(weights: Weights, tail: str) -> RateTable:
    manifest = weights.manifest
    rates = range(len(manifest.rates))
    return RateTable(
        tuple(f"{manifest.fingerprint}/{rate.name}" for rate in manifest.rates),
        np.stack([weights.quantiser.steps(rate) for rate in rates]),
        np.array([weights.temperature(tail, rate) for rate in rates], np.float32),
    )


def _quoted(peers: str) -> str:
    # A peer's word may be megabytes; the message travels in a header.
    return repr(peers[:40])
