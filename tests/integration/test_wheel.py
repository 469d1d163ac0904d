"""The wheel: its weights, its size, and that it lives beside foreign packages."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import splitfer.shared.weights
from tests.integration.cloud_process import SERVING

ROOT = Path(__file__).parents[2]
SIZE_LIMIT = 20_000_000  # bytes
FOLDERS = ("edge_client", "cloud_server", "shared")
OLDER = "00000000000older"

pytestmark = pytest.mark.timeout(600)


def left_out(folder: str, names: list[str]) -> set[str]:
    """What builds leave, the links, and the generations of weights that are not the default."""
    left = set(shutil.ignore_patterns("__pycache__", "*.so")(folder, names))
    left |= {name for name in names if Path(folder, name).is_symlink()}
    left |= {name for name in names if name == "node_modules"}
    if folder == str(ROOT / "shared" / "weights"):
        default = splitfer.shared.weights.default_folder().name
        left |= {name for name in names if Path(folder, name).is_dir() and name != default}
    return left


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is built from, with the default weights and a small older generation."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("splitfer", *FOLDERS):
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
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        pytest.fail(ended.stdout)
    (wheel,) = out.glob("*.whl")
    return wheel, ended.stdout


@pytest.fixture(scope="module")
def wheels(tree: Path) -> dict[str, tuple[Path, str]]:
    """Of the older weights from a tree without links, and then of the default ones with them."""
    older = built(tree, OLDER)
    for name in FOLDERS:
        (tree / "splitfer" / name).symlink_to(Path("..", name))
    default = splitfer.shared.weights.default_folder().name
    return {OLDER: older, default: built(tree, default)}


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
    default = splitfer.shared.weights.default_folder()
    names = zipfile.ZipFile(wheels[default.name][0]).namelist()
    packed = {Path(n).name for n in names if Path(n).parent.name == default.name}
    assert packed == {path.name for path in default.iterdir()}


def test_a_wheel_is_small_enough_for_a_device(wheels: dict[str, tuple[Path, str]]) -> None:
    wheel, _ = wheels[splitfer.shared.weights.default_folder().name]
    assert wheel.stat().st_size <= SIZE_LIMIT


def test_a_wheel_says_where_the_edge_for_browsers_is(wheels: dict[str, tuple[Path, str]]) -> None:
    names = zipfile.ZipFile(wheels[splitfer.shared.weights.default_folder().name][0]).namelist()
    edge = [name.partition("/rest_api/edge/")[2] for name in names if "/rest_api/edge/" in name]
    assert {"edge.html", "edge.js", "frontal.bin"} <= set(edge)
    assert not [name for name in edge if name.startswith(("built/", "node_modules/", "wasm/"))]


def test_a_wheel_holds_one_package(wheels: dict[str, tuple[Path, str]]) -> None:
    for wheel, _ in wheels.values():
        names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
        tops = {name.parts[0] for name in names}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"splitfer"}
        packed = {Path(*name.parts[1:]) for name in names if name.parts[0] == "splitfer"}
        modules = {p.relative_to(ROOT) for f in FOLDERS for p in (ROOT / f).rglob("*.py")}
        assert {name for name in packed if name.suffix == ".py"} == modules | {Path("__init__.py")}
        assert Path("py.typed") in packed


@dataclass(frozen=True)
class Installation:
    """The wheel in an environment that has a ``shared``, an ``edge_client`` and a
    ``cloud_server`` of somebody else's."""

    folder: Path
    site: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A program of this environment, in a folder with a ``shared`` of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SPLITFER_"))}
        return subprocess.Popen(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=self.site,
            env=kept,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        """Its exit code, output and error output."""
        with self.start(*command) as process:
            out, errors = process.communicate()
            return process.returncode, out, errors


@pytest.fixture(scope="module")
def installation(
    wheels: dict[str, tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    wheel, _ = wheels[splitfer.shared.weights.default_folder().name]
    folder = tmp_path_factory.mktemp("installation")
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    site = Path(paths["purelib"])
    foreign = [site / name for name in FOLDERS]
    for package in foreign:
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "errors.py").write_text("class Other(Exception): pass\n")
    command = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--no-deps"]
    subprocess.run([*command, "--no-index", "--quiet", wheel], check=True)
    # What it depends on is ours. Only now: else pip would find our installation there.
    ours = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "ours.pth").write_text("".join(f"{path}\n" for path in ours))
    for package in foreign:
        assert sorted(path.name for path in package.glob("*.py")) == ["__init__.py", "errors.py"]
    return Installation(folder, site)


def test_the_device_classifies_a_picture_beside_a_foreign_shared(
    installation: Installation,
) -> None:
    page = installation.site / "splitfer" / "cloud_server" / "rest_api" / "page"
    code, out, errors = installation.run("edge-client", "classify", str(page / "example.jpg"))
    assert code == 0, errors
    assert json.loads(out.splitlines()[0])["path"] == "local"


def test_the_server_serves_beside_a_foreign_shared(installation: Installation) -> None:
    flags = ("--grpc-port", "0", "--http-port", "0")
    with installation.start("cloud-server", "serve", *flags) as server:
        assert server.stderr
        lines = []
        for line in server.stderr:
            lines.append(line)
            if served := SERVING.search(line):
                server.terminate()
                assert served["fingerprint"] == splitfer.shared.weights.default_folder().name
        assert server.wait() == 0, "".join(lines)
        assert any(SERVING.search(line) for line in lines), "".join(lines)


def test_every_module_is_imported_from_the_installation(installation: Installation) -> None:
    script = """
import importlib, pkgutil, sys, splitfer
seen = ["splitfer"]
for found in pkgutil.walk_packages(splitfer.__path__, "splitfer."):
    if ".ray_" not in found.name and not found.name.endswith(".make_demo"):
        importlib.import_module(found.name)
        seen.append(found.name)
assert all(sys.modules[name].__file__.startswith(sys.prefix) for name in seen)
import shared.errors
assert shared.errors.Other and not {"edge_client", "cloud_server"} & set(sys.modules)
print(len(seen))
"""
    code, out, errors = installation.run("python", "-c", script)
    assert code == 0, errors
    assert int(out) > 100


def test_the_server_loads_nothing_of_the_edge(installation: Installation) -> None:
    script = (
        "import sys, splitfer.cloud_server.server.server; "
        "assert not [name for name in sys.modules if name.startswith('splitfer.edge_client')]; "
        "from splitfer import Recognizer; print(Recognizer.__module__)"
    )
    _, out, errors = installation.run("python", "-c", script)
    assert out == "splitfer.edge_client.recognizer\n", errors


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
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"setup.py: {Path('shared/weights/DEFAULT')} {said}")
    assert ended.stderr.count("\n") == 1
