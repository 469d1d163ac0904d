"""A file of settings or tokens: keys and values in YAML or TOML, read without surprises."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from splitfer.shared.errors import ConfigError


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML or TOML file. What stands in it is never quoted in an error,
    since it may be a secret.

    Raises:
        ConfigError: it cannot be read, holds something else, or a key twice; names the file.
    """
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads, ".yaml": _read_yaml, ".yml": _read_yaml,
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


def _read_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_UniqueKeys)  # a SafeLoader


class _UniqueKeys(yaml.SafeLoader):
    """YAML forbids a key to stand twice in a mapping; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping; a key that stands twice is an error at its second place."""
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # which no setting has
            line = key.start_mark.line + 1
            if (key.tag, key.value) in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"the key stands in line {lines[key.tag, key.value]} already; leave "
                    "one of them out",
                    problem_mark=key.start_mark,
                )
            lines[key.tag, key.value] = line
        return super().construct_mapping(node, deep)
