"""The wheel: which weights it carries, and how large it is."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import shared.weights

ROOT = Path(__file__).parents[2]
SIZE_LIMIT = 20_000_000  # bytes
OLDER = "00000000000older"

pytestmark = pytest.mark.timeout(600)


def other_generations(folder: str, names: list[str]) -> set[str]:
    weights = folder == str(ROOT / "shared" / "weights")
    kept = {shared.weights.default_folder().name}
    return {n for n in names if weights and Path(folder, n).is_dir() and n not in kept}


def left_out(folder: str, names: list[str]) -> set[str]:
    built = shutil.ignore_patterns("__pycache__", "*.so")
    return other_generations(folder, names) | set(built(folder, names))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is built from, with the default weights and a small older generation."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("edge_client", "cloud_server", "shared"):
        shutil.copytree(ROOT / name, tree / name, ignore=left_out)
    older = tree / "shared" / "weights" / OLDER
    older.mkdir()
    (older / "manifest.json").write_text("{}")
    return tree


def built(tree: Path, default: str) -> tuple[Path, str]:
    """A wheel of the tree with these default weights, and what the build printed."""
    (tree / "shared" / "weights" / "DEFAULT").write_text(f"{default}\n")
    out = tree.parent / f"wheel-{default}"
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    ended = subprocess.run(
        [*command, "--no-index", "--disable-pip-version-check", "--wheel-dir", out, tree],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        pytest.fail(ended.stdout)
    (wheel,) = out.glob("*.whl")
    return wheel, ended.stdout


@pytest.fixture(scope="module")
def wheels(tree: Path) -> dict[str, tuple[Path, str]]:
    """Of the older weights and then, in the same tree, of the default ones."""
    return {name: built(tree, name) for name in (OLDER, shared.weights.default_folder().name)}


def generations(wheel: Path) -> set[str]:
    names = (Path(name) for name in zipfile.ZipFile(wheel).namelist())
    return {n.parent.name for n in names if n.parent.parent.parts[-2:] == ("shared", "weights")}


def test_a_wheel_carries_the_default_weights_alone(wheels: dict[str, tuple[Path, str]]) -> None:
    for default, (wheel, printed) in wheels.items():
        assert generations(wheel) == {default}
        assert f"weights packed: {default}" in printed
        (named,) = (n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("weights/DEFAULT"))
        assert zipfile.ZipFile(wheel).read(named).decode().strip() == default


def test_all_files_of_the_default_weights_are_in_the_wheel(
    wheels: dict[str, tuple[Path, str]],
) -> None:
    default = shared.weights.default_folder()
    names = zipfile.ZipFile(wheels[default.name][0]).namelist()
    packed = {Path(n).name for n in names if Path(n).parent.name == default.name}
    assert packed == {path.name for path in default.iterdir()}


def test_a_wheel_is_small_enough_for_a_device(wheels: dict[str, tuple[Path, str]]) -> None:
    wheel, _ = wheels[shared.weights.default_folder().name]
    assert wheel.stat().st_size <= SIZE_LIMIT


@pytest.mark.parametrize(
    ("default", "said"),
    [(None, "must name the weights to pack"), ("absent", "names 'absent', but"), ("", "names ''")],
)
def test_a_build_without_default_weights_says_so(
    tmp_path: Path, default: str | None, said: str
) -> None:
    weights = tmp_path / "shared" / "weights"
    weights.mkdir(parents=True)
    if default is not None:
        (weights / "DEFAULT").write_text(default)
    ended = subprocess.run(
        [sys.executable, ROOT / "setup.py", "--name"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"setup.py: {Path('shared/weights/DEFAULT')} {said}")
    assert ended.stderr.count("\n") == 1
