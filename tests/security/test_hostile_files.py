"""Files that somebody else wrote, or that are none: each ends with one line, soon."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.cloud_server.admission.tokens import read_tokens
from splitfer.cloud_server.cli import run as cloud
from splitfer.edge_client.cli import main as edge
from splitfer.edge_client.sources.picture import picture_of
from splitfer.shared.certificates import read_certificates
from splitfer.shared.config_file import read_mapping
from splitfer.shared.errors import ConfigError, SourceError, WeightsError
from splitfer.shared.regular_file import read_regular
from splitfer.shared.weights import Weights, default_folder
from splitfer.shared.weights.manifest import Manifest
from splitfer.shared.weights.meaning import known_meanings, meaning_of
from splitfer.shared.weights.store import shipped_folders
from tests.manifests import edit_manifest

SOON_S = 10.0
# A whole network is loaded meanwhile.
MOST_MORE_MIB = 100


@pytest.fixture(autouse=True)
def _soon_and_small() -> Iterator[None]:
    before, start_s = _peak_mib(), time.monotonic()
    yield
    assert time.monotonic() - start_s < SOON_S
    assert _peak_mib() - before < MOST_MORE_MIB


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_huge_one(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


NO_FILES = pytest.mark.parametrize("make", [a_pipe, a_device, a_folder, a_huge_one])
Make = Callable[[Path], None]


@NO_FILES
def test_only_a_file_of_a_sane_size_is_read(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "file")
    with pytest.raises(OSError, match=r".") as refused:
        read_regular(tmp_path / "file", 1000)
    assert refused.value.strerror


@NO_FILES
@pytest.mark.parametrize("name", ["manifest.json", "head.onnx", "golden.npz", "entropy.bin"])
def test_weights(make: Make, name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(default_folder(), tmp_path / "weights"))
    (folder / name).unlink()
    make(folder / name)

    def opened() -> None:
        weights = Weights(folder)
        _ = weights.payload_codec
        weights.head(1)

    with pytest.raises(WeightsError, match=r".") as refused:
        opened()
    assert "\n" not in str(refused.value)


@NO_FILES
@pytest.mark.parametrize("suffix", ["yaml", "toml"])
def test_settings_and_tokens(make: Make, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    make(file)
    for read in (read_mapping, read_tokens):
        with pytest.raises(ConfigError, match=str(file)):
            read(file)


@pytest.mark.parametrize("make", [a_device, a_folder, a_huge_one])
def test_certificates(make: Make, tmp_path: Path) -> None:
    """Which may come by a pipe: a shell's <(...)."""
    make(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="server_ca"):
        read_certificates(tmp_path / "ca.pem", None, None)


def test_a_server_does_not_start_from_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    assert cloud(["serve", "--weights", str(tmp_path)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "no file but a device, a pipe" in line


def test_a_picture_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitfer.edge_client.sources.picture.LONGEST_BYTES", 2**20)
    with pytest.raises(SourceError, match="holds more than 1 MiB"):
        picture_of("/dev/zero", 10**6)


# --- What is in them

DEEP = {
    "yaml": [
        "a: " + "[" * 50_000,
        "{a: " * 20_000,
        "- " * 30_000,
        "a: " + "[" * 300 + "]" * 300,
        "".join(" " * i + "a:\n" for i in range(300)),
        "? " * 20_000,
        "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30)),
    ],
    "toml": [
        "a = " + "[" * 50_000,
        ".".join("a" * 30_000) + " = 1",
        "[" + ".".join("a" * 30_000) + "]",
        "a = " + "{a=" * 20_000,
        ".".join(['"a"'] * 10_000) + " = 1",
    ],
}
NUMBERS = {
    "yaml": ["threads: " + "1" * 10_000, "threads: 0x" + "f" * 60_000, "a: 2001-99-99",
             "threads: 1" + ":59" * 20_000, "deadline_ms: " + "9" * 400, "deadline_ms: .inf",
             "deadline_ms: .nan", "device_id: " + "7" * 5000],
    "toml": ["threads = " + "1" * 10_000, "threads = 0x" + "f" * 10_000, "deadline_ms = inf",
             "deadline_ms = nan", "deadline_ms = 1e999"],
}  # fmt: skip
HOSTILE = [(kind, text) for words in (DEEP, NUMBERS) for kind in words for text in words[kind]]


@pytest.mark.parametrize(("suffix", "text"), HOSTILE, ids=range(len(HOSTILE)))
def test_deep_settings_and_long_numbers(
    suffix: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"a.{suffix}"
    file.write_text(text)
    assert edge(["run", "--source", "demo", "--print-config", "--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(file) in line
    assert len(line) < 500 + len(str(file))


@pytest.mark.parametrize("value", ["[" * 50_000, '{"a":' * 20_000, "[" * 300 + "]" * 300])
@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("SPLITFER_EDGE_MASKS", lambda: edge(["run", "--source", "demo", "--print-config"])),
        ("SPLITFER_CLOUD_LIMITS", lambda: cloud(["serve", "--print-config"])),
    ],
    ids=["edge", "cloud"],
)
def test_deep_variables(
    variable: str,
    command: Callable[[], int],
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    assert command() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "SPLITFER_" in line
    assert len(line) < 500


@given(st.text(st.sampled_from("a:{}[]-?&*!|>'\"#%@ \n\t.=0")), st.sampled_from(["yaml", "toml"]))
def test_whatever_stands_in_a_file_is_settings_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    file = tmp_path_factory.getbasetemp() / f"some.{suffix}"
    file.write_text(text)
    try:
        assert isinstance(read_mapping(file), dict)
    except ConfigError as error:
        said = str(error)
    else:
        said = str(file)
    assert said.startswith(str(file))


def altered(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    folder = Path(shutil.copytree(default_folder(), tmp_path / "weights"))
    edit_manifest(folder, change)
    return folder


@pytest.mark.parametrize("value", [2e6, -1, 1e308, float("inf"), float("nan")])
@pytest.mark.parametrize(
    "place",
    [("crop", "scale"), ("crop", "shift_x"), ("tails", "local", "answers", "crowd", "temperature")],
    ids=str,
)
def test_numbers_of_a_manifest_are_bounded(
    place: tuple[str, ...], value: float, tmp_path: Path
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        *way, last = place
        for name in way:
            manifest = manifest[name]
        manifest[last] = value if value != -1 or last != "shift_x" else -3

    with pytest.raises(WeightsError, match=place[-1]):
        Weights(altered(tmp_path, change))


@pytest.mark.parametrize(
    "text",
    [
        '{"origin": ' + "[" * 100_000,
        '{"symbol_limit": ' + "1" * 10_000 + "}",
        '{"origin": {"a": ' + "1" * 10_000 + "}}",
        "[" * 200_000,
        " " * 2**20 + "{}",
    ],
)
def test_a_manifest_that_is_no_manifest(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WeightsError, match=r"manifest\.json|no weights") as refused:
        Weights(tmp_path)
    assert len(str(refused.value)) < 1000


def test_a_golden_file_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as parts:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (300 * 2**20,)}
        )
        with parts.open("crops.npy", "w") as crops:
            crops.write(header.getvalue())
            for _ in range(100):
                crops.write(bytes(2**20))
    data = bomb.getvalue()
    entry = {"file": "golden.npz", "sha256": sha256(data).hexdigest()}
    folder = altered(tmp_path, lambda manifest: manifest.update(golden=entry))
    (folder / "golden.npz").write_bytes(data)
    before = _peak_mib()
    with pytest.raises(WeightsError, match="unpacks to more"):
        _ = Weights(folder).golden
    assert _peak_mib() - before < MOST_MORE_MIB


# --- The fingerprint

COVERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "scale": lambda m: m["crop"].update(scale=1.19),
    "shift": lambda m: m["crop"].update(shift_y=0.0),
    "detail": lambda m: m["crop"].update(detail_px=48),
    "filter": lambda m: m["crop"].update(reduce="bicubic"),
    "gain": lambda m: m["rates"][0]["gains"].__setitem__(3, 0.5),
    "limit": lambda m: m.update(symbol_limit=16),
    "tables": lambda m: m.update(entropy=None),
    "head": lambda m: m["head"].update(sha256="0" * 64),
}


@pytest.mark.parametrize("change", COVERED.values(), ids=COVERED)
def test_what_the_fingerprint_covers_cannot_be_changed(
    change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"is not what the fingerprint .* stands for"):
        Weights(altered(tmp_path, change))


def test_nor_by_saying_that_it_was_not(tmp_path: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["crop"]["scale"] = 1.19
        manifest["meaning"] = meaning_of(Manifest.model_validate(manifest))

    with pytest.raises(WeightsError, match="stands for"):
        Weights(altered(tmp_path, change))


def test_weights_that_are_not_shipped_carry_their_meaning(tmp_path: Path) -> None:
    def own(manifest: dict[str, Any]) -> None:
        manifest["fingerprint"] = "0123456789abcdef"
        manifest["meaning"] = meaning_of(Manifest.model_validate(manifest))

    folder = altered(tmp_path, own)
    assert Weights(folder).manifest.meaning
    edit_manifest(folder, COVERED["scale"])
    with pytest.raises(WeightsError, match="stands for"):
        Weights(folder)


@pytest.mark.parametrize("folder", shipped_folders(), ids=lambda folder: folder.name)
def test_every_shipped_folder_has_its_meaning(folder: Path) -> None:
    """Where this fails for new weights, their line is missing in shared/weights/MEANINGS."""
    said = json.loads((folder / "manifest.json").read_text())
    assert known_meanings()[said["fingerprint"]] == meaning_of(Weights(folder).manifest)
