"""A file of variables, as systemd's ``EnvironmentFile`` names one for a service."""

from __future__ import annotations

import os
from pathlib import Path

from splitfer.shared.errors import ConfigError
from splitfer.shared.regular_file import MIB, read_regular

_QUOTES = "\"'"


def take_variables(file: Path) -> None:
    """Put the variables of ``file`` (``NAME=value`` a line) into this process's environment; those
    that are set there already stay.

    Raises:
        ConfigError: it cannot be read, or a line is another one; what stands in it is not quoted,
            since it may be a secret.
    """
    try:
        lines = read_regular(file, MIB).decode("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"--env-file {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"--env-file {file}: it is not text (UTF-8)") from None
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier() or "\0" in value:
            raise ConfigError(f"--env-file {file}, line {number}: a line is NAME=value")
        value = value.strip()
        if len(value) > 1 and value[0] in _QUOTES and value[-1] == value[0]:
            value = value[1:-1]
        os.environ.setdefault(name.strip(), value)
