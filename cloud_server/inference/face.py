"""A face, as a tail takes it."""

from __future__ import annotations

from typing import TypeAlias

from shared.codec.latent import Latent
from shared.codec.payload import Payload

# Both know their ``rate``; a payload is yet to be read.
Face: TypeAlias = Latent | Payload
