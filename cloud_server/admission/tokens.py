"""The file that names who may ask: one line a token, holding its hash and never the token.

front-door: {sha256: "3f1c...", scopes: [infer]}                          # YAML
front-door = {sha256 = "3f1c...", scopes = ["infer"]}                     # TOML
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from splitfer.cloud_server.settings.caller_limits import CallerLimits
from splitfer.shared.config_file import read_mapping
from splitfer.shared.errors import ConfigError

# So that scanners for leaked secrets, and people, know one when they see it.
_PREFIX = "splitfer_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Scope(StrEnum):
    """What a token is good for."""

    INFER = "infer"  # latents
    IMAGE = "image"  # whole pictures
    ADMIN = "admin"  # what the server serves
    METRICS = "metrics"  # what was served, for Prometheus


class TokenEntry(BaseModel):
    """What the file says of one token. ``limits`` None means the server's ``caller_limits``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    limits: CallerLimits | None = None


def token_digest(token: str) -> bytes:
    """What is kept of a token: its SHA-256.

    A plain, fast hash is right here, and would be wrong for a password. Slow hashes (scrypt,
    Argon2) and salts make guessing dear where people choose the secret; a token of ``new_token``
    is 256 random bits, which nobody guesses at any speed, and it is hashed again on every request.
    """
    return hashlib.sha256(token.encode()).digest()


def new_token() -> str:
    """A token of 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def token_line(name: str, token: str, scopes: Iterable[Scope], toml: bool = False) -> str:
    """The line of a tokens file for ``token``.

    Raises:
        ConfigError: ``name`` does not fit on it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"a token's name is {_NAME.pattern}, not {name!r}")
    digest, names = token_digest(token).hex(), ", ".join(map(json.dumps, sorted(scopes)))
    if toml:
        return f'{json.dumps(name)} = {{sha256 = "{digest}", scopes = [{names}]}}'
    return f'{json.dumps(name)}: {{sha256: "{digest}", scopes: [{names}]}}'


def read_tokens(path: Path) -> dict[str, TokenEntry]:
    """The tokens of a YAML or TOML file, by name.

    Raises:
        ConfigError: it cannot be read, or an entry is wrong; names the file and the entry, never
            what stands in it.
    """
    entries: dict[str, TokenEntry] = {}
    for name, entry in read_mapping(path).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"{path}: a token's name is {_NAME.pattern}")
        try:
            entries[name] = TokenEntry.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (name, *first["loc"]))
            raise ConfigError(f"{path}: {place}: {first['msg']}") from None
    return entries
