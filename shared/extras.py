"""Parts of the package that an installation may lack, and how to add them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from splitfer.shared.errors import ConfigError

# The package that is ours; what is missing of it is a fault and not an extra.
_OURS = "splitfer"


def how_to_install(extra: str) -> str:
    """The command that adds ``extra``. The package is on no index: a checkout or a wheel has it."""
    return f"pip install '.[{extra}]' in a checkout, or 'splitfer-....whl[{extra}]' from its wheel"


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports of what ``extra`` installs.

    Raises:
        ConfigError: a library of it is not installed; says which, and the command.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if not library or library == _OURS or library in sys.stdlib_module_names:
            raise
        raise ConfigError(
            f"{library} is not installed, which the extra '{extra}' has: {how_to_install(extra)}"
        ) from error
