"""The weights of one fingerprint, opened, checked and ready to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from splitfer.cloud_server.admission.in_flight import InFlight
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.inference.tail import RateTable, ServedTail
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.contracts import LATENT_SHAPE, AnswerPath
from splitfer.shared.errors import ConfigError, MalformedPayload, ModelMismatch
from splitfer.shared.labels import LabelSet, names_of
from splitfer.shared.prior import Prior
from splitfer.shared.weights import Weights
from splitfer.shared.weights.manifest import LOCAL_TAIL
from splitfer.shared.weights.runtime import Head


@dataclass(frozen=True, eq=False)
class ServedWeights:
    """One fingerprint: what its folder says, its payload codec, head and cloud tails, the default
    tail first; and the ``backbone``, head and local tail, which takes crops."""

    weights: Weights
    codec: PayloadCodec
    head: Head
    tails: dict[str, ServedTail]
    backbone: ServedTail
    _in_flight: InFlight = field(default_factory=InFlight, init=False)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the weights."""
        return self.weights.manifest.fingerprint

    @property
    def networks(self) -> tuple[ServedTail, ...]:
        """Every tail, the backbone last."""
        return (*self.tails.values(), self.backbone)

    @property
    def requests(self) -> int:
        """How many requests for these weights are in flight."""
        return self._in_flight.count

    def request(self) -> InFlight:
        """A request, from the choice of its weights to its answer: an unloading waits for it."""
        return self._in_flight

    async def unused(self) -> None:
        """Return once no request is in flight."""
        await self._in_flight.none()

    def tail(self, name: str) -> ServedTail:
        """The tail called ``name``; empty means the default.

        Raises:
            ModelMismatch: it is not served here.
        """
        if not name:
            return next(iter(self.tails.values()))
        if name not in self.tails:
            raise ModelMismatch(f"no tail {quoted(name)} here; there are {', '.join(self.tails)}")
        return self.tails[name]

    def of_pictures(self, name: str, chosen: str | None) -> ServedTail:
        """The tail called ``name`` for faces of whole pictures; empty means that ``chosen`` for
        this server, else the backbone.

        Raises:
            ModelMismatch: it is not served here.
        """
        name = name or (chosen if chosen in self.tails else LOCAL_TAIL)
        if name == LOCAL_TAIL:
            return self.backbone
        if name not in self.tails:
            here = ", ".join((LOCAL_TAIL, *self.tails))
            raise ModelMismatch(f"no tail {quoted(name)} here for pictures; there are {here}")
        return self.tails[name]

    def rate_index(self, rate: str) -> int:
        """The index of the rate called ``rate``; empty means the default.

        Raises:
            MalformedPayload: there is none of this name.
        """
        try:
            return self.weights.rate_index(rate)
        except ConfigError:
            names = ", ".join(one.name for one in self.weights.manifest.rates)
            raise MalformedPayload(f"no rate {rate[:40]!r} here; there are {names}") from None

    def label_set(self, tail: ServedTail, name: LabelSet | None) -> LabelSet:
        """The label set called ``name`` of one of these tails; None means the weights' default.

        Raises:
            ModelMismatch: the tail does not answer it.
        """
        name = name or self.weights.manifest.default_label_set
        if name not in tail.label_sets:
            raise ModelMismatch(
                f"{tail.model} does not answer the labels {name.value}; "
                f"it answers {names_of(tail.label_sets)}"
            )
        return name

    def label_sets(self, tail: ServedTail) -> tuple[LabelSet, ...]:
        """What a tail answers, the weights' default first."""
        default = self.weights.manifest.default_label_set
        return (default, *(one for one in tail.label_sets if one is not default))

    def balance(
        self, labels: LabelSet, prior: Prior | None, otherwise: Prior | None
    ) -> tuple[float, ...] | None:
        """What answers are to be balanced by: how common each class was in training; None where
        they stay natural. Where ``prior`` is None, ``otherwise`` is wanted, as far as the weights
        know it; None means the default.

        Raises:
            ModelMismatch: ``balanced`` is wanted, and the weights do not say how common they were.
        """
        if prior is None and labels in self.weights.manifest.priors:
            prior = otherwise
        try:
            used = self.weights.prior(prior, labels)
        except ConfigError as error:
            raise ModelMismatch(str(error)) from None
        return self.weights.manifest.priors[labels] if used is Prior.BALANCED else None


def cloud_tails(weights: Weights) -> list[str]:
    """Ids of the tails that a server runs."""
    tails = weights.manifest.tails
    return [name for name, entry in tails.items() if entry.path is AnswerPath.CLOUD]


def serve_weights(
    weights: Weights, config: CloudConfig, go_on: Callable[[], None] = lambda: None
) -> ServedWeights:
    """Load the networks of ``weights``, each checked against its golden numbers and warmed up.

    ``go_on`` is called between them, and raises where nobody wants them any more.

    Raises:
        WeightsError: a file was altered, or gives wrong numbers on this machine.
    """
    ids = cloud_tails(weights)
    # Other weights need not have the tail that is the default of the first.
    default = config.tail if config.tail in ids else weights.manifest.default_tail
    ids.sort(key=lambda name: name != default)  # stable: the default moves to the front
    codec = weights.payload_codec
    tails = {}
    for name in ids:
        go_on()
        model = f"{weights.manifest.fingerprint}/{name}"
        tail = weights.tail(name, config.threads)
        tails[name] = ServedTail(model, tail, codec, _rate_table(weights, name), config)
        tails[name].warm_up()
    go_on()
    head, local = weights.head(config.threads), weights.tail(LOCAL_TAIL, config.threads)
    model = f"{weights.manifest.fingerprint}/{LOCAL_TAIL}"
    backbone = ServedTail(model, local, codec, _one_rate(weights), config, head)
    backbone.warm_up()
    return ServedWeights(weights, codec, head, tails, backbone)


def _one_rate(weights: Weights) -> RateTable:
    """Of the local tail, which takes what is not quantised."""
    answers = weights.manifest.tails[LOCAL_TAIL].answers
    return RateTable(
        (),
        np.ones((1, LATENT_SHAPE[0]), np.float32),
        {one: np.array([answer.temperature], np.float32) for one, answer in answers.items()},
    )


def _rate_table(weights: Weights, tail: str) -> RateTable:
    manifest = weights.manifest
    rates = range(len(manifest.rates))
    return RateTable(
        tuple(f"{manifest.fingerprint}/{rate.name}" for rate in manifest.rates),
        np.stack([weights.quantiser.steps(rate) for rate in rates]),
        {
            one: np.array([weights.temperature(tail, rate, one) for rate in rates], np.float32)
            for one in manifest.tails[tail].label_sets
        },
    )


def quoted(peers: str) -> str:
    """A peer's word, quoted and cut for an error message."""
    # A peer's word may be megabytes; the message travels in a header.
    return repr(peers[:40])
