"""What ``pyproject.toml`` cannot say: which weights the wheel carries."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("edge_client", "cloud_server", "shared")
WEIGHTS = Path("shared/weights")


def default_weights() -> str:
    """The folder of weights that ``DEFAULT`` names: the only one that is packed.

    Raises:
        SystemExit: there is none.
    """
    default = WEIGHTS / "DEFAULT"
    try:
        name = default.read_text().strip()
    except OSError as error:
        raise SystemExit(f"setup.py: {default} must name the weights to pack: {error}") from None
    if not (WEIGHTS / name / "manifest.json").is_file():
        raise SystemExit(
            f"setup.py: {default} names {name!r}, but {WEIGHTS / name} holds no weights"
        )
    return name


class BuildPy(build_py):
    """Packs what the tree holds now, and says which weights."""

    def run(self) -> None:
        """Copy modules and data into the build folder."""
        if not self.editable_mode:
            # What an earlier build left there would be packed too: weights that are no longer the
            # default, modules that were moved.
            for folder in FOLDERS:
                if (left := Path(self.build_lib, folder)).exists():
                    shutil.rmtree(left)
            print(f"weights packed: {default_weights()}, as {WEIGHTS}/DEFAULT says", flush=True)
        super().run()


setup(
    cmdclass={"build_py": BuildPy},
    package_data={
        "edge_client": ["py.typed", "assets/*.mp4"],
        "cloud_server": ["py.typed", "rest_api/page/*"],
        "shared": ["py.typed", "codec/*.pyi", "weights/DEFAULT", f"weights/{default_weights()}/*"],
    },
)
