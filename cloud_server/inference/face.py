"""A face, as a tail takes it."""

from __future__ import annotations

from typing import TypeAlias

from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import Payload

# Both know their ``rate``; a payload is yet to be read.
Face: TypeAlias = Latent | Payload
