"""The version of what is installed."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def server_version() -> str:
    """The installed version."""
    try:
        return importlib.metadata.version("splitfer")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"  # run from a checkout that was not installed
