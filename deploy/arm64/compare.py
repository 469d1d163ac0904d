"""What the edge gave on x86-64 beside what it gave on 64-bit Arm, a line for each check.

    python compare.py X86 ARM WHEELS TITLE

X86 and ARM are folders that ``measure.py`` filled, WHEELS is what pip on Arm installed from.
Exit code 1 where a check failed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import read_payloads

from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.store import LOGIT_TOLERANCE, SYMBOL_SHARE

# Probabilities are printed to four digits.
LAST_DIGIT = 1e-4
# What FFmpeg's conversions to RGB differ by, of 255: it has one for each kind of processor.
PIXEL_STEPS = 2
# Not of the wheels: what Python's own venv puts there.
OF_VENV = {"pip", "setuptools"}


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    what: str
    x86: str
    arm: str
    bound: str
    good: bool


class Given:
    """What one machine gave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.measured: dict[str, Any] = json.loads((folder / "measured.json").read_text())
        with np.load(folder / "arrays.npz") as arrays:
            self.arrays = dict(arrays)

    def __getitem__(self, name: str) -> Any:
        return self.measured[name]


def wheels_only(x86: Given, arm: Given, wheels: Path) -> Check:
    """What is installed on Arm came as wheels, and nothing there could compile."""
    found = sorted(wheels.iterdir())
    fit = [path for path in found if path.name.endswith(("-any.whl", "aarch64.whl"))]
    named = {path.name.partition("-")[0].replace("_", "-").lower() for path in fit}
    installed = {name.replace("_", "-").lower() for name in arm["packages"]} - OF_VENV
    megabytes = sum(path.stat().st_size for path in found) / 1e6
    return Check(
        "installed from wheels alone",
        "",
        f"{len(installed)} packages of {len(fit)} wheels, {megabytes:.1f} MB; "
        f"compilers there: {', '.join(arm['compilers']) or 'none'}",
        "every package a wheel, no compiler",
        fit == found and installed <= named and not arm["compilers"],
    )


def golden_checks(x86: Given, arm: Given) -> list[Check]:
    """Each network of the shipped weights against its golden numbers."""
    return [
        Check(f"golden check: {name}", x86["golden"][name], said, "passed", said == "passed")
        for name, said in arm["golden"].items()
    ]


def latents(x86: Given, arm: Given) -> Check:
    """The symbols of every rate."""
    mine, theirs = (one.arrays["symbols"].astype(np.int16) for one in (x86, arm))
    if mine.shape != theirs.shape:
        return Check("latents", str(mine.shape), str(theirs.shape), "as many", False)
    off = np.abs(mine - theirs)
    count, most = np.count_nonzero(off), int(off.max())
    return Check(
        "latents: symbols that differ",
        f"{mine.shape[1]} crops, {mine.shape[0]} rates",
        f"{count} of {off.size}, by at most {most}",
        f"{SYMBOL_SHARE:.2%}, by at most 1",
        most <= 1 and count <= SYMBOL_SHARE * off.size,
    )


def logits(x86: Given, arm: Given) -> list[Check]:
    """What each local model says that both machines take."""
    checks = []
    for name in (one for one in x86.arrays if one.startswith("logits_") and one in arm.arrays):
        mine, theirs = x86.arrays[name], arm.arrays[name]
        off, largest = float(np.abs(mine - theirs).max()), float(np.abs(mine).max())
        other = np.count_nonzero(mine.argmax(1) != theirs.argmax(1))
        checks.append(
            Check(
                f"logits of {name.removeprefix('logits_')}: largest difference",
                f"{len(mine)} crops, up to {largest:.1f}",
                f"{off:.1e} off, {other} other labels",
                f"{LOGIT_TOLERANCE:.0e} of the largest",
                off <= LOGIT_TOLERANCE * max(1.0, largest),
            )
        )
    return checks


def payloads(x86: Given, arm: Given) -> list[Check]:
    """Payloads made on one are read on the other, and the coder's bytes are the same."""
    read_here, of = read_payloads(Weights(default_folder()), arm.folder)
    read_there, of_mine = arm["read"]
    same = sum(a == b for a, b in zip(x86["bodies"], arm["bodies"], strict=True))
    bodies = len(x86["bodies"])
    return [
        Check(
            "payloads of Arm, read on x86-64", f"{read_here} of {of}", "", "all", read_here == of
        ),
        Check(
            "payloads of x86-64, read on Arm",
            "",
            f"{read_there} of {of_mine}",
            "all",
            read_there == of_mine,
        ),
        Check(
            "entropy code of the same symbols",
            f"{bodies} bodies",
            f"{same} the same bytes",
            "all",
            same == bodies,
        ),
    ]


def clip(x86: Given, arm: Given) -> Check:
    """The first frame of the bundled clip, decoded."""
    mine, theirs = (one.arrays["frame"].astype(np.int16) for one in (x86, arm))
    if mine.shape != theirs.shape:
        return Check("clip: first frame", str(mine.shape), str(theirs.shape), "as large", False)
    off = np.abs(mine - theirs)
    return Check(
        "clip: first frame's pixels",
        f"{mine.shape[1]} x {mine.shape[0]}",
        f"off by at most {off.max()}, {off.mean():.2f} in the mean",
        f"at most {PIXEL_STEPS}",
        bool(off.max() <= PIXEL_STEPS),
    )


def classified(x86: Given, arm: Given, path: str) -> list[Check]:
    """``edge-client classify`` of the demo picture."""
    mine, theirs = x86[path], arm[path]
    what = f"classify ({path})"
    if mine["code"] or theirs["code"] or len(mine["faces"]) != len(theirs["faces"]):
        return [
            Check(
                what,
                *(f"exit {one['code']}, {len(one['faces'])} faces" for one in (mine, theirs)),
                "exit 0, as many",
                False,
            )
        ]
    checks = []
    for number, (a, b) in enumerate(zip(mine["faces"], theirs["faces"], strict=True), 1):
        off = max(abs(p - b["probabilities"][label]) for label, p in a["probabilities"].items())
        said = [f"{one['label']} {one['path']} {one['box']}" for one in (a, b)]
        good = said[0] == said[1] and a["path"] == path and round(off, 6) <= LAST_DIGIT
        bound = f"the same, probabilities to {LAST_DIGIT:.4f}"
        arm_said = f"{said[1]}, {off:.4f} off"
        checks.append(Check(f"{what}, face {number}", said[0], arm_said, bound, good))
    return checks


def all_checks(x86: Given, arm: Given, wheels: Path) -> list[Check]:
    """Every line of the table."""
    return [
        wheels_only(x86, arm, wheels),
        *golden_checks(x86, arm),
        latents(x86, arm),
        *logits(x86, arm),
        *payloads(x86, arm),
        *classified(x86, arm, "local"),
        *classified(x86, arm, "cloud"),
        clip(x86, arm),
    ]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("x86", type=Path)
    parser.add_argument("arm", type=Path)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("title")
    arguments = parser.parse_args()
    x86, arm = Given(arguments.x86), Given(arguments.arm)
    checks = all_checks(x86, arm, arguments.wheels)
    names = [
        f"{one['machine']}, Python {one['python']}, "
        + ", ".join(f"{name} {one['packages'][name]}" for name in ("onnxruntime", "numpy"))
        for one in (x86, arm)
    ]
    print(f"{arguments.title}: {names[1]}\nbeside {names[0]}\n")
    rows = [("", "x86-64", "Arm", "bound", "")]
    rows += [(c.what, c.x86, c.arm, c.bound, "ok" if c.good else "FAILED") for c in checks]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())
    failed = sum(not check.good for check in checks)
    print(f"\n{len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
