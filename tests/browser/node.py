"""The browser edge's modules, run by Node.js, and its WebAssembly modules, made by clang."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import splitfer.cloud_server

EDGE = Path(splitfer.cloud_server.__path__[0]) / "rest_api" / "edge"
_HERE = Path(__file__).parent
_MISSING = [name for name in ("node", "clang", "wasm-ld") if shutil.which(name) is None]

needs_node = pytest.mark.skipif(
    bool(_MISSING), reason=f"no {', '.join(_MISSING)}: apt-get install nodejs clang lld"
)


def run_module(what: str, given: dict[str, Any], folder: Path) -> Any:
    """What ``run_module.mjs`` gives."""
    file = folder / f"{what}.json"
    file.write_text(json.dumps(given))
    ended = subprocess.run(
        ["node", _HERE / "run_module.mjs", what, file], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def build_wasm(folder: Path) -> Path:
    """``codec.wasm`` and ``frontal.wasm`` of these sources, in this folder."""
    subprocess.run(["sh", EDGE / "wasm" / "build.sh", folder], check=True)
    return folder


def as_text(array: NDArray[Any] | bytes) -> str:
    data = array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes()
    return base64.b64encode(data).decode()


def as_bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8)
