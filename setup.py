"""What ``pyproject.toml`` cannot say: which weights the wheel carries, and under which names.

The folders ``edge_client/``, ``cloud_server/`` and ``shared/`` are installed as the packages
``splitfer.edge_client``, ``splitfer.cloud_server`` and ``splitfer.shared``
(docs/adr/0015-one-import-name.md).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = ("edge_client", "cloud_server", "shared")
INCLUDED = [*FOLDERS, *(f"{folder}.*" for folder in FOLDERS)]
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


def browser_edge() -> list[str]:
    """The edge for browsers. What `make web` built of it is packed where SPLITFER_WEB is set: with
    it a wheel would be too large for a device."""
    here = [
        f"rest_api/edge/*.{kind}" for kind in ("html", "css", "js", "webmanifest", "png", "bin")
    ]
    return [*here, "rest_api/edge/built/*"] if os.environ.get("SPLITFER_WEB") else here


class BuildPy(build_py):
    """Packs what the tree holds now, and says which weights."""

    def run(self) -> None:
        """Copy modules and data into the build folder."""
        if not self.editable_mode:
            # What an earlier build left there would be packed too: weights that are no longer the
            # default, modules that were moved, packages of the names of before.
            for folder in ("splitfer", *FOLDERS):
                if (left := Path(self.build_lib, folder)).exists():
                    shutil.rmtree(left)
            print(f"weights packed: {default_weights()}, as {WEIGHTS}/DEFAULT says", flush=True)
        super().run()


setup(
    cmdclass={"build_py": BuildPy},
    packages=["splitfer", *(f"splitfer.{name}" for name in find_packages(include=INCLUDED))],
    package_dir={f"splitfer.{folder}": folder for folder in FOLDERS},
    package_data={
        "splitfer": ["py.typed"],
        "splitfer.edge_client": ["assets/*.mp4", "view/page/*"],
        "splitfer.cloud_server": ["rest_api/page/*", *browser_edge()],
        "splitfer.shared": [
            "codec/*.pyi",
            "vision/frontal.*",
            "vision/yunet.*",
            "weights/DEFAULT",
            "weights/MEANINGS",
            f"weights/{default_weights()}/*",
        ],
    },
)
