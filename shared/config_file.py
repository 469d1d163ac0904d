"""A file of settings or tokens: keys and values in YAML or TOML, read without surprises."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from splitfer.shared.errors import ConfigError
from splitfer.shared.regular_file import MIB, read_regular

# A token takes a hundred bytes. YAML takes Python up to 10 s a MiB, TOML less than one.
_LONGEST_BYTES = MIB
_LONGEST_YAML_BYTES = MIB // 4
_DEEPEST = 16
_LARGEST = 2**63
_TOO_DEEP = "it is nested deeper than any setting"
# Of a key, in TOML.
_MOST_PARTS = 50
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


def read_mapping(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML or TOML file. What stands in it is never quoted in an error,
    since it may be a secret.

    Raises:
        ConfigError: it cannot be read, holds something else, or a key twice; names the file.
    """
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": _read_toml,
        ".yaml": _read_yaml,
        ".yml": _read_yaml,
    }
    if path.suffix not in readers:
        raise ConfigError(f"{path}: a config file ends in .toml, .yaml or .yml")
    try:
        longest = _LONGEST_BYTES if path.suffix == ".toml" else _LONGEST_YAML_BYTES
        text = read_regular(path, longest).decode("utf-8")
        content = readers[path.suffix](text)
        _check(content)
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
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: a config file is text in UTF-8, and this is not") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    except _Refused as error:
        raise ConfigError(f"{path}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: {_TOO_DEEP}") from None
    except ValueError:  # of Python's int and date, which quote what they were given
        raise ConfigError(f"{path}: a number or a date in it is none") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a config file holds keys and values")
    return content


def _read_toml(text: str) -> Any:
    # Python's parser takes time by the square of a key's parts: 20 s for 60 kB.
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > _MOST_PARTS and _QUOTED.sub("", line).count(".") > _MOST_PARTS:
            raise _Refused(f"line {number} has a key of many parts, which no setting has")
    return tomllib.loads(text)


def _check(content: Any, depth: int = 0) -> None:
    """Settings are neither deep nor large, whoever wrote the file.

    Raises:
        _Refused: they are.
    """
    if depth > _DEEPEST:
        raise _Refused(_TOO_DEEP)
    if isinstance(content, int) and not -_LARGEST <= content <= _LARGEST:
        raise _Refused("a number in it is larger than any setting")
    if isinstance(content, dict):
        content = [part for pair in content.items() for part in pair]
    if isinstance(content, list | tuple | set):
        for part in content:
            _check(part, depth + 1)


class _Refused(Exception):
    """Says what no config file holds."""


def _read_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_UniqueKeys)  # a SafeLoader


class _UniqueKeys(yaml.SafeLoader):
    """YAML forbids a key to stand twice in a mapping; PyYAML takes the last one. Nor does a value
    stand for another here (``*name``): few of those can unfold to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; a name for another is an error."""
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "a name for another value", mark)
        return super().compose_node(parent, index)

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
