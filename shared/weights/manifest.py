"""What a folder of weights says about itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from splitfer.shared.codec.payload import MAX_PAYLOAD_BYTES, MOST_RATES
from splitfer.shared.codec.quantiser import ZERO_SYMBOL, Quantiser
from splitfer.shared.contracts import LATENT_SHAPE, AnswerPath
from splitfer.shared.labels import LABELS, LabelSet, default_label_set
from splitfer.shared.local_models import BACKBONE
from splitfer.shared.prior import Prior
from splitfer.shared.vision.crop import ENLARGE, Cropping
from splitfer.shared.weights.migration import MANIFEST_VERSION, as_of_now

LOCAL_TAIL = "local"
_SHA256 = r"^[0-9a-f]{64}$"
_FILE = r"^[a-z0-9_.-]+$"
_CHANNELS = LATENT_SHAPE[0]
# Finite, and far beyond what any weights have.
Positive = Annotated[float, Field(gt=0, le=1e6)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Loss = Annotated[float, Field(ge=0, le=1e6)]


class FileEntry(BaseModel):
    """A file beside the manifest; its name has no folder in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=_FILE)
    sha256: str = Field(pattern=_SHA256)


class Measured(BaseModel):
    """Calibration of a tail's answers in one label set, and what they were measured to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Positive
    # Share of right answers by data part, such as {"PublicTest": 0.65}.
    accuracy: dict[str, _Share] = {}
    # Mean cross entropy of the calibrated probabilities against the labels (`crowd`: against the
    # distribution of the votes), in nats, by data part.
    log_loss: dict[str, _Loss] = {}


class TailEntry(FileEntry):
    """One tail: the path it answers, and its answers in each label set that it has.

    Of a cloud tail at the default rate; ``RateEntry`` has the other rates.
    """

    path: AnswerPath
    answers: dict[LabelSet, Measured] = Field(min_length=1)

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """The label sets, in the order of the tail's outputs."""
        return tuple(one for one in LabelSet if one in self.answers)


class Together(BaseModel):
    """What the mean of a cloud tail's probabilities and those of ``local`` was measured to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: dict[str, _Share]
    log_loss: dict[str, _Loss]


class RateEntry(BaseModel):
    """One rate: how fine the quantiser is, what that costs, and the cloud tails at it, by id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    # By channel of the latent.
    gains: tuple[Positive, ...] = Field(min_length=_CHANNELS, max_length=_CHANNELS)
    # Of a face's payload, with header and checksum.
    bytes_mean: float = Field(ge=0, le=MAX_PAYLOAD_BYTES)
    answers: dict[str, dict[LabelSet, Measured]] = {}
    together: dict[str, dict[LabelSet, Together]] = {}


# The one rate of weights that have no choice of it.
FULL_RATE = RateEntry(name="full", gains=(1.0,) * _CHANNELS, bytes_mean=MAX_PAYLOAD_BYTES)


class Manifest(BaseModel):
    """``manifest.json``. ``tails`` holds ``local``, other models that answer on a device, and one
    or more cloud tails by id, ``rates`` the rates, most bytes first: a payload names one by its
    place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(default=MANIFEST_VERSION, ge=1, le=MANIFEST_VERSION)
    fingerprint: str = Field(pattern=r"^[0-9a-f]{16}$")
    labels: tuple[str, ...]
    crop: Cropping
    head: FileEntry
    tails: dict[str, TailEntry]
    default_tail: str
    golden: FileEntry
    # Since schema 2; a manifest of schema 1 means these defaults.
    symbol_limit: int = Field(default=ZERO_SYMBOL, ge=1, le=ZERO_SYMBOL)
    rates: tuple[RateEntry, ...] = Field(default=(FULL_RATE,), min_length=1, max_length=MOST_RATES)
    default_rate: str = FULL_RATE.name
    # Tables of the entropy code; without them payloads are raw.
    entropy: FileEntry | None = None
    # How common each class was in training, by label set: shares in the order of `labels`. Empty
    # before schema 3.
    priors: dict[LabelSet, tuple[Positive, ...]] = {}
    # Hash of what the fingerprint covers, as these files hold it (``meaning``).
    meaning: str | None = Field(default=None, pattern=_SHA256)
    # Where the weights come from: data, recipe, run.
    origin: dict[str, Any]

    @property
    def label_sets(self) -> tuple[LabelSet, ...]:
        """The label sets that every tail answers."""
        return tuple(
            one for one in LabelSet if all(one in tail.answers for tail in self.tails.values())
        )

    @property
    def device_files(self) -> tuple[FileEntry, ...]:
        """The files that a device needs: all but the cloud tails."""
        tails = [one for one in self.tails.values() if one.path is AnswerPath.LOCAL]
        others = (self.head, *((self.entropy,) if self.entropy else ()), self.golden)
        return (*others, *tails)

    @property
    def local_models(self) -> dict[str, str]:
        """Ids of the tails that answer on a device, by what a user calls them."""
        ids = [name for name, entry in self.tails.items() if entry.path is AnswerPath.LOCAL]
        return {BACKBONE if name == LOCAL_TAIL else name: name for name in ids}

    @property
    def default_label_set(self) -> LabelSet:
        """The one that is answered where none is named."""
        return default_label_set(self.label_sets)

    def shares(self, label_set: LabelSet, prior: Prior) -> tuple[float, ...]:
        """How common answers of this prior take each label to be, in the order of ``labels``: as in
        training, or all alike where it is ``balanced`` or nothing is said."""
        even = (1 / len(LABELS),) * len(LABELS)
        return even if prior is Prior.BALANCED else self.priors.get(label_set, even)

    @model_validator(mode="before")
    @classmethod
    def _of_now(cls, said: object) -> object:
        return as_of_now(said)

    @field_validator("priors")
    @classmethod
    def _shares(
        cls, priors: dict[LabelSet, tuple[float, ...]]
    ) -> dict[LabelSet, tuple[float, ...]]:
        for label_set, shares in priors.items():
            if len(shares) != len(LABELS) or not math.isclose(sum(shares), 1, abs_tol=1e-3):
                raise ValueError(f"{label_set}: not {len(LABELS)} shares that sum to 1")
        return priors

    @model_validator(mode="after")
    def _a_label_set_in_common(self) -> Self:
        if self.tails and not self.label_sets:
            raise ValueError("tails: they have no label set in common")
        return self

    @model_validator(mode="after")
    def _rates_agree(self) -> Self:
        names = [rate.name for rate in self.rates]
        if len(set(names)) < len(names):
            raise ValueError(f"rates: two have the same name among {', '.join(names)}")
        if self.default_rate not in names:
            raise ValueError(f"default_rate: {self.default_rate!r} is none of {', '.join(names)}")
        for rate in self.rates:
            for tail in (*rate.answers, *rate.together):
                if tail not in self.tails:
                    raise ValueError(f"rates: {rate.name} speaks of a tail {tail!r}; there is none")
        return self


def fingerprint(
    tensors: Mapping[str, NDArray[np.generic]],
    labels: tuple[str, ...],
    crop: Cropping,
    quantiser: Quantiser | None = None,
    tables_sha256: str | None = None,
) -> str:
    """The 16 hex digits that both sides must agree on.

    Covers the float head's ``tensors`` (by name, type, shape and value) and the rest of what
    decides a latent's meaning: quantiser, entropy tables, labels, and the way a crop is made. Never
    file bytes, never tails. Without a ``quantiser`` it is that of a head which rounds by itself
    (schema 1).
    """
    digest = hashlib.sha256()
    rest: dict[str, Any] = {
        "labels": labels,
        "crop": [crop.scale, crop.shift_x, crop.shift_y, crop.detail_px],
        "quantiser": "round half to even, step 1, zero 128, 0..255"
        if quantiser is None
        else {"gains": quantiser.gains.tolist(), "limit": quantiser.limit},
        "entropy_tables": tables_sha256,
    }
    if quantiser is not None:
        rest["resampling"] = [crop.reduce.upper(), ENLARGE.name]
    digest.update(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
