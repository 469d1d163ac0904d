"""What most tests need: weights, and a face. Those that need torch are in ``exported_weights``, so
that the device's tests run where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

import splitfer.shared.weights
from tests.manifests import edit_manifest, set_figures

pytest_plugins = ["tests.exported_weights"] if importlib.util.find_spec("torch") else []

# Whoever runs the tests may have settings of their own, such as where their data is.
for _name in [name for name in os.environ if name.startswith("SPLITFER_")]:
    del os.environ[_name]
# Else each of the hundreds of processes that tests start compiles all of our modules again, which
# takes a server a third of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A test does not measure time: on a busy machine any example may take long.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def old_weights_folder() -> Path:
    """The first weights that were shipped: schema 1, a head that rounds, one rate, no tables."""
    return Path(splitfer.shared.weights.__file__).parent / "76c2ec20ba6c6356"


@pytest.fixture(scope="session")
def better_server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights with a manifest that calls the cloud tail the more accurate one, at
    every rate: what the policy weighs is what a manifest says."""
    source = splitfer.shared.weights.default_folder()
    folder = Path(shutil.copytree(source, tmp_path_factory.mktemp("better") / source.name))

    def better(manifest: dict[str, Any]) -> None:
        set_figures(manifest["tails"]["local"]["answers"], accuracy=0.6, log_loss=1.1)
        set_figures(manifest["tails"]["cloud"]["answers"], accuracy=0.7, log_loss=0.9)
        for place, rate in enumerate(manifest["rates"]):
            for answers in (rate["answers"]["cloud"], rate["together"]["cloud"]):
                figures = {"accuracy": 0.71 - 0.01 * place, "log_loss": 0.89 + 0.01 * place}
                set_figures(answers, **figures)

    edit_manifest(folder, better)
    return folder


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """A photograph with one face: RGB uint8 ``(512, 512, 3)``. Copy it before writing to it."""
    import skimage.data

    picture = np.asarray(skimage.data.astronaut(), dtype=np.uint8)
    picture.flags.writeable = False
    return picture
