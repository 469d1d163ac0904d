"""A folder of weights, opened: hashes checked on reading, numbers checked on a golden input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from splitfer.shared.codec.entropy import EntropyTables
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.codec.quantiser import Quantiser
from splitfer.shared.contracts import Device
from splitfer.shared.errors import ConfigError, WeightsError, WrongNumbersError
from splitfer.shared.labels import LABELS, LabelSet, names_of
from splitfer.shared.prior import DEFAULT_PRIOR, Prior
from splitfer.shared.regular_file import MIB, read_regular
from splitfer.shared.weights.golden import Golden, read_golden
from splitfer.shared.weights.manifest import LOCAL_TAIL, FileEntry, Manifest
from splitfer.shared.weights.meaning import stands_for_its_fingerprint
from splitfer.shared.weights.runtime import Head, Tail, a_fault_of_the_weights, read_model

# Across runtimes and processors: at most one quantiser step on at most this share of the symbols,
# and logits this close.
SYMBOL_SHARE = 1e-4
LOGIT_TOLERANCE = 1e-4
_LONGEST_MANIFEST_BYTES = MIB
_HERE = Path(__file__).parent
T = TypeVar("T")


class Weights:
    """Verified weights of one fingerprint, whose networks run on ``device``.

    Raises:
        WeightsError: the folder, a file or a hash is not as the manifest says.
    """

    def __init__(self, folder: Path, device: Device = "cpu") -> None:
        self.folder = folder
        self._device: Device = device
        self._heads: dict[int, Head] = {}  # by threads
        try:
            data = read_regular(folder / "manifest.json", _LONGEST_MANIFEST_BYTES)
            self.manifest = Manifest.model_validate_json(data)
        except FileNotFoundError as error:
            why = "it has no manifest.json" if folder.is_dir() else "there is no such folder"
            raise WeightsError(f"no weights in {folder}: {why}") from error
        except OSError as error:
            raise WeightsError(f"no weights in {folder}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"{part}." for part in first["loc"])[:-1]
            message = first["msg"].removeprefix("Value error, ")
            what = f"{place}: {message}" if place else message
            raise WeightsError(f"{folder}/manifest.json: {what}") from error
        if self.manifest.labels != LABELS:
            raise WeightsError(f"{folder} has labels {self.manifest.labels}, not {LABELS}")
        if not stands_for_its_fingerprint(self.manifest):
            raise WeightsError(
                f"{folder} is not what the fingerprint {self.manifest.fingerprint} stands for: its "
                "head, quantiser, entropy tables or crop was changed; install these weights anew"
            )
        for tail in (LOCAL_TAIL, self.manifest.default_tail):
            if tail not in self.manifest.tails:
                raise WeightsError(f"{folder}/manifest.json names no tail {tail!r}")

    @cached_property
    def quantiser(self) -> Quantiser:
        """The quantiser of every rate."""
        gains = np.array([rate.gains for rate in self.manifest.rates], np.float32)
        return Quantiser(gains, self.manifest.symbol_limit)

    @cached_property
    def payload_codec(self) -> PayloadCodec:
        """What writes and reads these weights' payloads.

        Raises:
            WeightsError: the tables of the entropy code are missing, altered or nonsense.
        """
        rates, limit = len(self.manifest.rates), self.manifest.symbol_limit
        if self.manifest.entropy is None:
            return PayloadCodec(None, rates)
        tables = self._load(self.manifest.entropy, EntropyTables.from_bytes)
        if (tables.rates, tables.limit) != (rates, limit):
            raise WeightsError(
                f"{self.folder}: the entropy tables are for {tables.rates} rates of limit "
                f"{tables.limit}, the manifest has {rates} of {limit}"
            )
        return PayloadCodec(tables, rates)

    def rate_index(self, name: str) -> int:
        """The place of the rate called ``name``; empty means the default.

        Raises:
            ConfigError: there is none; the message names those there are.
        """
        names = [rate.name for rate in self.manifest.rates]
        try:
            return names.index(name or self.manifest.default_rate)
        except ValueError:
            raise ConfigError(
                f"rate: weights {self.manifest.fingerprint} have no {name!r}; "
                f"there are {', '.join(names)}"
            ) from None

    def label_set(self, name: LabelSet | None) -> LabelSet:
        """``name``, which every tail answers; None means the default.

        Raises:
            ConfigError: some tail does not; the message names what all answer.
        """
        offered = self.manifest.label_sets
        if name is not None and name not in offered:
            raise ConfigError(
                f"labels: weights {self.manifest.fingerprint} do not answer {name.value}; "
                f"they answer {names_of(offered)}"
            )
        return name or self.manifest.default_label_set

    def local_tail(self, model: str) -> str:
        """Id of the tail of a local model: ``backbone``, or another of these weights.

        Raises:
            ConfigError: there is none; the message names those there are.
        """
        models = self.manifest.local_models
        if model not in models:
            raise ConfigError(
                f"local_model: weights {self.manifest.fingerprint} in {self.folder} have no "
                f"{model!r}; there are {', '.join(models)}"
            )
        return models[model]

    def prior(self, name: Prior | None, label_set: LabelSet) -> Prior:
        """``name``; None means the default, or ``natural`` where these weights do not say how
        common the classes of ``label_set`` were in training.

        Raises:
            ConfigError: it is ``balanced``, and they do not say.
        """
        known = label_set in self.manifest.priors
        if name is Prior.BALANCED and not known:
            raise ConfigError(
                f"prior: weights {self.manifest.fingerprint} do not say how common the classes of "
                f"{label_set.value} were in training; they answer {Prior.NATURAL.value} only"
            )
        return name or (DEFAULT_PRIOR if known else Prior.NATURAL)

    def check_names(
        self, local_model: str, rate: str, labels: LabelSet | None, prior: Prior | None
    ) -> None:
        """Return where these weights have what a device's settings name.

        Raises:
            ConfigError: they have not.
        """
        self.local_tail(local_model)
        self.rate_index(rate)
        self.prior(prior, self.label_set(labels))

    def temperature(self, tail: str, rate: int, label_set: LabelSet | None = None) -> float:
        """The temperature that calibrates ``tail`` on latents of ``rate``, an index."""
        label_set = label_set or self.manifest.default_label_set
        own = self.manifest.tails[tail].answers[label_set]
        return self.manifest.rates[rate].answers.get(tail, {}).get(label_set, own).temperature

    def head(self, threads: int) -> Head:
        """The head, checked against the golden latents of every rate.

        Raises:
            WrongNumbersError: it gives wrong numbers on this machine.
            WeightsError: its file was altered.
        """
        head = self._head(threads)
        with self._looked_at(self.manifest.head):
            self._check_head(head)
        return head

    def tail(self, name: str, threads: int) -> Tail:
        """One tail, checked against its golden logits. One that takes features is checked with the
        head.

        Raises:
            WrongNumbersError: it gives wrong numbers on this machine.
            WeightsError: it is not there, or its file was altered.
        """
        if name not in self.manifest.tails:
            known = ", ".join(self.manifest.tails)
            raise WeightsError(f"no tail {name!r} in {self.folder}; there are {known}")
        entry = self.manifest.tails[name]
        temperatures = {one: found.temperature for one, found in entry.answers.items()}
        tail = self._load(entry, lambda data: Tail(data, threads, temperatures, self._device))
        if set(tail.label_sets) != set(entry.answers):
            raise WeightsError(
                f"{self.folder / entry.file} answers {names_of(tail.label_sets)}, its manifest "
                f"says {names_of(entry.label_sets)}"
            )
        with self._looked_at(entry):
            self._check_tail(name, tail, threads)
        return tail

    def golden_logits(
        self, name: str, tail: Tail, threads: int
    ) -> dict[LabelSet, NDArray[np.float32]]:
        """What ``tail``, in the place of the one called ``name``, gives for the golden inputs."""
        golden = self.golden
        if tail.takes_crops:
            return tail.all_logits(golden.crops[:, None])
        if name == LOCAL_TAIL:
            return tail.all_logits(self._head(threads).run(golden.crops)[0])
        return tail.all_logits(golden.latents, self.quantiser.steps(self.rate_index("")))

    @cached_property
    def golden(self) -> Golden:
        """The golden input and its outputs.

        Raises:
            WeightsError: its file is missing, altered or nonsense.
        """
        return self._load(self.manifest.golden, lambda data: read_golden(data, self.manifest))

    def _check_head(self, head: Head) -> None:
        golden, default = self.golden, self.rate_index("")
        z = head.run(golden.crops)[1]
        for rate in range(len(self.manifest.rates)):
            if rate == default or golden.z is None:
                expected = golden.latents
            else:
                expected = self.quantiser.symbols(golden.z, rate)
            symbols = self.quantiser.symbols(z, rate).astype(np.int16)
            off = np.abs(symbols - expected.astype(np.int16))
            if off.max() > 1 or np.count_nonzero(off) > max(1, SYMBOL_SHARE * off.size):
                raise WrongNumbersError(
                    f"{self.folder}: the head gives wrong latents on this machine: "
                    f"{np.count_nonzero(off)} of {off.size} symbols differ from the golden ones, "
                    f"by up to {off.max()}"
                )

    def _check_tail(self, name: str, tail: Tail, threads: int) -> None:
        for label_set, logits in self.golden_logits(name, tail, threads).items():
            expected = self.golden.logits[name][label_set]
            off = np.abs(logits - expected).max()
            if not off <= LOGIT_TOLERANCE * max(1.0, float(np.abs(expected).max())):
                raise WrongNumbersError(
                    f"{self.folder}: tail {name!r} gives wrong logits here ({label_set.value}), "
                    f"off by {off:.2g}"
                )

    def _looked_at(self, entry: FileEntry) -> AbstractContextManager[None]:
        return a_fault_of_the_weights(f"{self.folder / entry.file} fails on the golden input")

    def _head(self, threads: int) -> Head:
        # A device wants it for itself, and to check its local tail.
        if threads not in self._heads:
            self._heads[threads] = self._load(
                self.manifest.head, lambda data: Head(data, threads, self._device)
            )
        return self._heads[threads]

    def _load(self, entry: FileEntry, make: Callable[[bytes], T]) -> T:
        data = self._read(entry)
        try:
            return make(data)
        except WeightsError as error:
            raise WeightsError(f"{self.folder / entry.file}: {error}") from error

    def _read(self, entry: FileEntry) -> bytes:
        path = self.folder / entry.file
        data = read_model(path)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise WeightsError(f"{path} is not the file that its manifest names (sha256 differs)")
        return data


def shipped_folders() -> tuple[Path, ...]:
    """Every folder of weights that is shipped, the default first."""
    default = default_folder()
    others = sorted(path.parent for path in _HERE.glob("*/manifest.json"))
    return (default, *(folder for folder in others if folder != default))


def default_folder() -> Path:
    """The folder of the shipped weights that are used where none are named."""
    try:
        return _HERE / (_HERE / "DEFAULT").read_text().strip()
    except OSError as error:
        raise WeightsError(f"no default weights: {error}") from error
