"""The proof on 64-bit Arm: what its table says of a machine that gives other numbers, and the wheel
that is built for it. `make arm64` is the proof itself."""

from __future__ import annotations

import importlib
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitfer.shared.codec.latent import Latent
from splitfer.shared.weights import Weights, default_folder

DEPLOY = Path(__file__).parents[2] / "deploy" / "arm64"
AARCH64 = 183  # e_machine of an ELF file

Measured = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def measured() -> tuple[Measured, Arrays]:
    """What a machine gives whose numbers are the golden ones."""
    weights = Weights(default_folder())
    symbols = np.stack([weights.golden.latents] * len(weights.manifest.rates))
    codec = weights.payload_codec

    def said(path: str) -> dict[str, Any]:
        chances = {"happy": 0.9, "sad": 0.1}
        face = {"label": "happy", "path": path, "box": [1, 2, 30, 40], "probabilities": chances}
        return {"code": 0, "errors": "", "faces": [face]}

    count = symbols.shape[0] * symbols.shape[1]
    of_one = {
        "machine": "aarch64", "python": "3.11.2", "compilers": [],
        "packages": {"splitfer": "0.1.0", "onnxruntime": "1", "numpy": "2", "pip": "23"},
        "golden": {"head": "passed", "local": "passed"},
        "payloads": [
            [codec.encode(Latent(one, rate)).hex() for one in rows]
            for rate, rows in enumerate(symbols)
        ],
        "bodies": ["00", "01"], "read": [count, count],
        "local": said("local"), "cloud": said("cloud"),
    }  # fmt: skip
    arrays = {
        "symbols": symbols,
        "logits_backbone": weights.golden.logits["local"][weights.label_set(None)],
        "frame": np.zeros((4, 4, 3), np.uint8),
    }
    return of_one, arrays


Change = Callable[[Measured, Arrays], object]
Table = Callable[[Change], tuple[int, list[str]]]


@pytest.fixture
def table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Table:
    """Exit code, and the lines that failed, where Arm's numbers were changed."""
    monkeypatch.syspath_prepend(DEPLOY)
    compare = importlib.import_module("compare")

    def told(change: Change) -> tuple[int, list[str]]:
        x86, arm = measured(), measured()
        change(*arm)
        for name, (of_one, arrays) in (("x86", x86), ("arm", arm)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "measured.json").write_text(json.dumps(of_one))
            np.savez(tmp_path / name / "arrays.npz", **arrays)
        wheels = tmp_path / "wheels"
        wheels.mkdir()
        for name in (
            "splitfer-0-cp311-abi3-manylinux_2_17_aarch64",
            "numpy-2-py3-none-any",
            "onnxruntime-1-cp311-cp311-manylinux_2_28_aarch64",
        ):
            (wheels / f"{name}.whl").touch()
        folders = [str(tmp_path / name) for name in ("x86", "arm", "wheels")]
        monkeypatch.setattr(sys, "argv", ["compare.py", *folders, "a title"])
        code = compare.main()
        lines = capsys.readouterr().out.splitlines()
        return code, [line for line in lines if line.endswith("FAILED")]

    return told


def test_the_same_numbers_pass(table: Table) -> None:
    assert table(lambda arm, arrays: None) == (0, [])


@pytest.mark.parametrize(("symbols", "step", "good"), [(3, 1, True), (4, 1, False), (1, 2, False)])
def test_one_symbol_in_ten_thousand_may_be_a_step_off(
    table: Table, symbols: int, step: int, good: bool
) -> None:
    def change(arm: Measured, arrays: Arrays) -> None:
        of_one = arrays["symbols"][0, 0]
        of_one[0, 0, :symbols] += np.uint8(step)
        codec = Weights(default_folder()).payload_codec
        arm["payloads"][0][0] = codec.encode(Latent(of_one, 0)).hex()

    code, failed = table(change)
    assert code == (0 if good else 1)
    assert [line.partition(":")[0] for line in failed] == ([] if good else ["latents"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arm, arrays: arm["compilers"].append("gcc"), "installed from wheels alone"),
        (lambda arm, arrays: arm["packages"].update(av="19"), "installed from wheels alone"),
        (lambda arm, arrays: arm["golden"].update(local="off by 1"), "golden check: local"),
        (lambda arm, arrays: arrays["logits_backbone"].__iadd__(0.1), "logits of backbone"),
        (lambda arm, arrays: arm["bodies"].__setitem__(1, "02"), "entropy code"),
        (lambda arm, arrays: arm["read"].__setitem__(0, 0), "payloads of x86-64"),
        (lambda arm, arrays: arm["local"]["faces"].clear(), "classify (local)"),
        (lambda arm, arrays: arm["local"].update(code=4), "classify (local)"),
        (lambda arm, arrays: arm["cloud"]["faces"][0].update(path="local"), "classify (cloud)"),
        (
            lambda arm, arrays: arm["local"]["faces"][0]["probabilities"].update(sad=0.1002),
            "classify (local)",
        ),
    ],
)
def test_another_number_fails_by_its_name(table: Table, change: Change, said: str) -> None:
    code, failed = table(change)
    assert code == 1
    assert len(failed) == 1
    assert failed[0].startswith(said)


@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None, reason="no compiler for aarch64 is here"
)
def test_the_wheel_for_arm_says_and_holds_what_it_is(tmp_path: Path) -> None:
    environment = {"BIN": str(Path(sys.executable).parent), "PATH": "/usr/bin:/bin"}
    subprocess.run(
        ["sh", str(DEPLOY / "wheel.sh"), str(tmp_path)], env=environment, check=True, timeout=100
    )
    (wheel,) = tmp_path.iterdir()
    assert wheel.name.endswith("-cp311-abi3-manylinux_2_17_aarch64.whl")
    with zipfile.ZipFile(wheel) as parts:
        (library,) = (name for name in parts.namelist() if name.endswith(".so"))
        assert library == "splitfer/shared/codec/_entropy.abi3.so"
        (machine,) = struct.unpack_from("<H", parts.read(library), 18)
    assert machine == AARCH64
