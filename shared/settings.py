"""A process's settings: one frozen model, filled from a file, then the environment, then flags.

    defaults  <  config file  <  SPLITFER_<PROCESS>_* variables  <  flags

A nested key is ``limits.body_bytes`` in an error, a table in the file, and
``..._LIMITS__BODY_BYTES`` in the environment. Unknown keys and misspelt variables are errors: a
setting that is not read is a surprise in production.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from shared.errors import ConfigError

_NESTED = "__"
_URL_SECRET = re.compile(r"(?<=://)[^/\s]*@")


class Settings(BaseSettings):
    """Base of a process's settings. Made by hand it reads nothing; ``load_settings`` fills it."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: ``load_settings`` merges the sources, since it has the prefix."""
        return (init_settings,)


S = TypeVar("S", bound=Settings)


def load_settings(
    model_class: type[S], prefix: str, config_file: Path | None, flags: Mapping[str, Any]
) -> S:
    """Settings from ``config_file`` (YAML or TOML), variables with ``prefix``, and ``flags``.

    A flag that is None was not given. ``prefix`` is such as ``SPLITFER_CLOUD_``.

    Raises:
        ConfigError: one line that names the key, and the file, variable or flag it stands in.
    """
    known = set(_keys(model_class))
    from_file = read_mapping(config_file) if config_file else {}
    _refuse_unknown(from_file, known, f"in {config_file}")
    from_environment = _read_environment(model_class, prefix, known)
    given = {key: value for key, value in flags.items() if value is not None}
    _refuse_unknown(given, known, "among the flags")
    merged = _merge(_merge(from_file, from_environment), given)
    try:
        return model_class(**merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        if _holds(given, place):
            where = "--" + "-".join(place).replace("_", "-")
        elif _holds(from_environment, place):
            where = prefix + _NESTED.join(place).upper()
        elif _holds(from_file, place):
            where = f"{config_file}: {'.'.join(place)}"
        else:
            where = ".".join(place) or "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: {message}") from error


def printable(settings: Settings) -> str:
    """The settings as YAML that ``load_settings`` reads; secrets and URL passwords are masked."""
    return yaml.safe_dump(_masked(settings.model_dump(mode="json")), sort_keys=False).rstrip()


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_masked(part) for part in value]
    return _URL_SECRET.sub("***@", value) if isinstance(value, str) else value


def _keys(model: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a model, nested models and dataclasses included."""
    types: dict[str, Any] = {}
    if isinstance(model, type) and issubclass(model, BaseModel):
        types = {name: field.annotation for name, field in model.model_fields.items()}
    elif isinstance(model, type) and dataclasses.is_dataclass(model):
        types = {field.name: None for field in dataclasses.fields(model)}
    for name, inner in types.items():
        yield (*above, name)
        yield from _keys(inner, (*above, name))


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML or TOML file. What stands in it is never quoted in an error,
    since it may be a secret.

    Raises:
        ConfigError: it cannot be read, or holds something else; names the file.
    """
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load,
    }  # fmt: skip
    if path.suffix not in readers:
        raise ConfigError(f"{path}: a config file ends in .toml, .yaml or .yml")
    try:
        content = readers[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        # str(error) quotes the line; these two quote the value.
        tag_or_alias = isinstance(
            error, yaml.constructor.ConstructorError | yaml.composer.ComposerError
        )
        problem = (
            "a value that begins with ! or * is put in quotes" if tag_or_alias else error.problem
        )
        at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{at}: {problem}") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a config file holds keys and values")
    return content


def _read_environment(
    model_class: type[Settings], prefix: str, known: set[tuple[str, ...]]
) -> dict[str, Any]:
    # pydantic-settings lets misspelt variables pass.
    names = {prefix + _NESTED.join(key).upper() for key in known}
    for variable in os.environ:
        if variable.upper().startswith(prefix) and variable.upper() not in names:
            raise ConfigError(f"unknown variable {variable}{_hint(variable.upper(), names)}")
    try:
        return EnvSettingsSource(
            model_class, env_prefix=prefix, env_nested_delimiter=_NESTED, case_sensitive=False
        )()
    except SettingsError as error:
        raise ConfigError(f"{prefix}*: {error}") from error


def _refuse_unknown(
    values: Mapping[Any, Any], known: set[tuple[str, ...]], where: str, above: tuple[str, ...] = ()
) -> None:
    for key, value in values.items():
        place = (*above, str(key))
        if place not in known:
            beside = {".".join(other) for other in known}
            name = ".".join(place)
            raise ConfigError(f"unknown key {name} {where}{_hint(name, beside)}")
        if isinstance(value, Mapping) and any(other[:-1] == place for other in known):
            _refuse_unknown(value, known, where, place)


def _hint(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        under = merged.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(under, value) if both else value  # type: ignore[arg-type]  # both
    return merged


def _holds(values: Mapping[str, Any], place: tuple[str, ...]) -> bool:
    inner: Any = values
    for part in place:
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return bool(place)
