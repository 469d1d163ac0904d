"""Which weights and tails are served."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_server.config import CloudConfig
from cloud_server.tail import ServedTail
from shared.contracts import Path
from shared.errors import ConfigError, ModelMismatch
from shared.preprocess import CropGeometry
from shared.runtime import Head
from shared.weights import Weights, default_folder


@dataclass(frozen=True)
class ServedWeights:
    """One fingerprint: its head, the geometry of its crops, and its tails, the default first."""

    fingerprint: str
    head: Head
    crop: CropGeometry
    tails: dict[str, ServedTail]


class Registry:
    """Weights by fingerprint; the first are the default. One folder is served today."""

    def __init__(self, served: list[ServedWeights]) -> None:
        self._served = {weights.fingerprint: weights for weights in served}
        self.default = served[0]

    @classmethod
    def load(cls, config: CloudConfig) -> Registry:
        """Open, verify and hold what ``config`` names.

        Raises:
            WeightsError: missing, altered, or wrong numbers on this machine.
            ConfigError: the tail named as default is not a cloud tail of these weights.
        """
        weights = Weights(config.weights or default_folder())
        manifest = weights.manifest
        ids = [name for name, entry in manifest.tails.items() if entry.path is Path.CLOUD]
        default = config.tail or manifest.default_tail
        if default not in ids:
            raise ConfigError(
                f"tail: {default!r} is no cloud tail here; there are {', '.join(ids)}"
            )
        ids.sort(key=lambda name: name != default)  # stable: the default moves to the front
        tails = {
            name: ServedTail(
                f"{manifest.fingerprint}/{name}", weights.tail(name, config.threads), config
            )
            for name in ids
        }
        head = weights.head(config.threads)
        return cls([ServedWeights(manifest.fingerprint, head, manifest.crop, tails)])

    def start(self) -> None:
        """Begin to answer."""
        for weights in self._served.values():
            for tail in weights.tails.values():
                tail.start()

    async def close(self) -> None:
        """Stop every tail."""
        for weights in self._served.values():
            for tail in weights.tails.values():
                await tail.close()

    def tail(self, fingerprint: str, name: str) -> ServedTail:
        """The tail called ``name`` (empty: the default) of the weights with ``fingerprint``.

        Raises:
            ModelMismatch: these weights or this tail are not served here.
        """
        if fingerprint not in self._served:
            here = ", ".join(self._served)
            raise ModelMismatch(
                f"the latents were made by weights {_quoted(fingerprint)}; served: {here}"
            )
        tails = self._served[fingerprint].tails
        if not name:
            return next(iter(tails.values()))
        if name not in tails:
            raise ModelMismatch(f"no tail {_quoted(name)} here; there are {', '.join(tails)}")
        return tails[name]


def _quoted(peers: str) -> str:
    # A peer's word may be megabytes; the message travels in a header.
    return repr(peers[:40])
