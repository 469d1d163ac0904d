"""The reference of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.readme.settings import PAGES
from splitfer.cloud_server.config import CloudConfig
from splitfer.edge_client.config import EdgeConfig
from splitfer.shared.settings import Settings


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_the_pages_are_those_of_the_settings_of_today(path: Path) -> None:
    assert path.read_text() == PAGES[path](), "run `make settings` and commit what it wrote"


@pytest.mark.parametrize("model", [EdgeConfig, CloudConfig])
def test_every_setting_says_what_it_is(model: type[Settings]) -> None:
    plain = {"log_level", "log_format", "limits", "ray", "caller_limits"}
    silent = {name for name, field in model.model_fields.items() if not field.description}
    assert not silent - plain
