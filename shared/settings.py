"""A process's settings: one frozen model, filled from a file, then the environment, then flags.

    defaults  <  config file  <  SPLITFER_<PROCESS>_* variables  <  flags

A nested key is ``limits.body_bytes`` in an error, a table in the file, and
``..._LIMITS__BODY_BYTES`` in the environment. Unknown keys and misspelt variables are errors: a
setting that is not read is a surprise in production. An empty variable counts as unset. A relative
path in the file counts from the file's folder, any other from the working directory.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from splitfer.shared.config_file import read_mapping
from splitfer.shared.errors import ConfigError

_NESTED = "__"
_IsPath = Callable[[str], bool]


@dataclasses.dataclass(frozen=True)
class PathWhere:
    """Marks a setting of text, in ``Annotated``, that is a path where ``is_path`` says so."""

    is_path: _IsPath


class Settings(BaseSettings):
    """Base of a process's settings. Made by hand it reads nothing; ``load_settings`` fills it.

    Settings that are paths, or marked by ``PathWhere``, stand on the first level.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

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
    model_class: type[S],
    prefix: str,
    config_file: Path | None,
    flags: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    of_a_program: bool = False,
) -> S:
    """Settings from ``config_file`` (YAML or TOML), variables with ``prefix``, and ``flags``.

    A flag that is None was not given. ``prefix`` is such as ``SPLITFER_CLOUD_``. ``defaults`` are
    the caller's, in the place of the model's. ``of_a_program``: the flags are keywords in Python.

    Raises:
        ConfigError: one line that names the key, and the file, variable or flag it stands in.
    """
    known = set(_keys(model_class))
    from_file = read_mapping(config_file) if config_file else {}
    _refuse_unknown(from_file, known, f"in {config_file}")
    from_environment = _read_environment(model_class, prefix, known)
    _refuse_unknown(from_environment, known, f"in {prefix}*")
    given = {key: value for key, value in flags.items() if value is not None}
    _refuse_unknown(given, known, f"among the {'keywords' if of_a_program else 'flags'}")

    def stands_in(place: tuple[str, ...]) -> str:
        if _holds(given, place) and of_a_program:
            return ".".join(place)
        if _holds(given, place):
            return "--" + "-".join(place).replace("_", "-")
        if _holds(from_environment, place):
            return prefix + _NESTED.join(place).upper()
        if _holds(from_file, place) or _holds(from_file, place[:-1]):  # where something lacks
            return f"{config_file}: {'.'.join(place)}"
        return ".".join(place) or "settings"

    merged = dict(defaults or {})
    if config_file:
        folder = Path(os.path.abspath(config_file)).parent
        merged = _merge(merged, _with_paths(model_class, from_file, folder))
    merged = _merge(_merge(merged, from_environment), given)
    for key in _path_rules(model_class):
        value = merged.get(key)
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            raise ConfigError(
                f"{stands_in((key,))}: it is empty; leave it out, or say what it names"
            )
    try:
        return model_class(**merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{stands_in(place)}: {message}") from error


def peek(prefix: str, config_file: Path | None, flags: Mapping[str, Any], key: str) -> Any:
    """What ``load_settings`` would take for ``key`` of the first level, unchecked, whatever is
    wrong with the other settings; None where it stands nowhere."""
    if flags.get(key) is not None:
        return flags[key]
    for variable, value in os.environ.items():
        if variable.upper() == prefix + key.upper() and value:
            return value
    if config_file:
        with suppress(ConfigError):
            return read_mapping(config_file).get(key)
    return None


def printable(settings: Settings) -> str:
    """The settings as YAML that ``load_settings`` reads, from wherever it is kept. What is secret,
    or an address that may hold a secret, is left out; a comment names it."""
    shown, secret = {}, []
    for key, value in settings.model_dump().items():
        if _may_hold_a_secret(value):
            secret.append(key)
        else:
            shown[key] = _plain(value)
    for key, is_path in _path_rules(type(settings)).items():
        value = shown.get(key)
        if isinstance(value, str) and value and is_path(value):
            shown[key] = os.path.abspath(value)
        elif isinstance(value, list):
            shown[key] = [os.path.abspath(part) for part in value]
    comment = (
        f"# Set, and left out since it holds a secret: {', '.join(secret)}\n" if secret else ""
    )
    return comment + yaml.safe_dump(shown, sort_keys=False).rstrip()


def _may_hold_a_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_may_hold_a_secret, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_may_hold_a_secret, value))
    if isinstance(value, str):
        return "://" in value and any(sign in value for sign in "@?#")
    return isinstance(value, SecretStr)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _path_rules(model_class: type[Settings]) -> dict[str, _IsPath]:
    """The settings that name files or folders, and which of their values do."""
    rules: dict[str, _IsPath] = {}
    for name, field in model_class.model_fields.items():
        marks = [mark.is_path for mark in field.metadata if isinstance(mark, PathWhere)]
        if marks:
            rules[name] = marks[0]
        elif _mentions(field.annotation, Path):
            rules[name] = lambda _: True
    return rules


def _mentions(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_mentions(part, kind) for part in get_args(annotation))


def _with_paths(
    model_class: type[Settings], values: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """``values`` with relative paths counted from ``folder``."""
    placed = dict(values)
    for name, is_path in _path_rules(model_class).items():
        if name in values:
            several = get_origin(model_class.model_fields[name].annotation) is tuple
            placed[name] = _counted_from(folder, values[name], is_path, several)
    return placed


def _counted_from(folder: Path, value: Any, is_path: _IsPath, several: bool) -> Any:
    if isinstance(value, list):
        return [_counted_from(folder, part, is_path, False) for part in value]
    if not isinstance(value, str) or not value or not is_path(value):
        return value
    parts = value.split(os.pathsep) if several else [value]
    return os.pathsep.join(str(folder / part) for part in parts if part)


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


def _read_environment(
    model_class: type[Settings], prefix: str, known: set[tuple[str, ...]]
) -> dict[str, Any]:
    # pydantic-settings lets misspelt variables pass.
    names = {prefix + _NESTED.join(key).upper() for key in known}
    for variable, value in os.environ.items():
        if value and variable.upper().startswith(prefix) and variable.upper() not in names:
            raise ConfigError(f"unknown variable {variable}{_hint(variable.upper(), names)}")
    try:
        return EnvSettingsSource(
            model_class,
            env_prefix=prefix,
            env_nested_delimiter=_NESTED,
            case_sensitive=False,
            env_ignore_empty=True,
        )()
    except SettingsError as error:
        raise ConfigError(f"{prefix}*: {error}") from error
    except RecursionError:
        raise ConfigError(f"{prefix}*: a value is nested deeper than any setting") from None


def _refuse_unknown(
    values: Mapping[Any, Any], known: set[tuple[str, ...]], where: str, above: tuple[str, ...] = ()
) -> None:
    for key, value in values.items():
        place = (*above, str(key))
        if place not in known:
            beside = {".".join(other) for other in known if len(other) == len(place)}
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
        if isinstance(inner, list | tuple) and part.isdecimal() and int(part) < len(inner):
            inner = inner[int(part)]
        elif isinstance(inner, Mapping) and part in inner:
            inner = inner[part]
        else:
            return False
    return bool(place)
