"""Write the reference of every setting from the settings' own descriptions:
``python -m benchmarks.readme.settings``."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from splitfer.cloud_server.config import CloudConfig
from splitfer.edge_client.config import PICTURE_SETTINGS, PREFIX, EdgeConfig
from splitfer.shared.settings import Settings

CLOUD_PREFIX = "SPLITFER_CLOUD_"
_HOW = """A value comes from the file that `--config FILE` names (YAML or TOML), then from the
environment, then from the command line; the later one wins. `--print-config` prints what is in
force, without secrets. A relative path in the file counts from the file's folder. Unknown names are
errors."""


def edge_page() -> str:
    """The page of the device's settings."""
    of_one = ", ".join(f"`{name}` {_shown(value)}" for name, value in PICTURE_SETTINGS.items())
    page = _page("Settings of the device", EdgeConfig, PREFIX)
    return f"{page}\nOf a single picture (`edge-client classify`, `Recognizer`): {of_one}.\n"


def cloud_page() -> str:
    """The page of the server's settings."""
    return _page("Settings of the server", CloudConfig, CLOUD_PREFIX)


PAGES = {
    Path("docs/device/settings.md"): edge_page,
    Path("docs/server/settings.md"): cloud_page,
}


def _page(title: str, model: type[Settings], prefix: str) -> str:
    lines = [f"# {title}", "", _HOW, "", "| name in the file | variable | default | what it is |"]
    lines += ["| --- | --- | --- | --- |"]
    groups: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        if dataclasses.is_dataclass(field.default) or isinstance(field.default, BaseModel):
            groups.append((name, field.default))
            continue
        values = _choices(field.annotation)
        what = (field.description or "").replace("|", "\\|")
        what += f"{': ' if what else ''}{values}" if values else ""
        lines.append(f"| `{name}` | `{prefix}{name.upper()}` | {_shown(field.default)} | {what} |")
    for name, group in groups:
        about = inspect.cleandoc(type(group).__doc__ or "").replace("``", "`")
        lines += [
            "",
            f"## {name}",
            "",
            about,
            "",
            f"A table in the file, `{prefix}{name.upper()}__`",
        ]
        lines[-1] += "*NAME* in the environment."
        lines += ["", "| name | default |", "| --- | --- |"]
        values_of = (
            group.model_dump() if isinstance(group, BaseModel) else dataclasses.asdict(group)
        )
        lines += [f"| `{key}` | {_shown(value)} |" for key, value in values_of.items()]
    return "\n".join(lines) + "\n"


def _choices(annotation: Any) -> str:
    """The words that a setting may be, where it is one of several."""
    found: list[str] = []
    for one in (annotation, *get_args(annotation)):
        if get_origin(one) is Literal:
            found += map(str, get_args(one))
        elif isinstance(one, type) and issubclass(one, Enum):
            found += [str(member.value) for member in one]
    return ", ".join(f"`{word}`" for word in dict.fromkeys(found))


def _shown(value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def main() -> int:
    """Write both pages; gives the exit code."""
    for path, page in PAGES.items():
        path.write_text(page())
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
