from __future__ import annotations

from pathlib import Path

import pytest

from splitfer.cloud_server.weights.root import folder_under
from splitfer.shared.errors import RefusedChange, WeightsError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "one").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root" / "loop")
    (tmp_path / "root" / "file").write_text("")
    (tmp_path / "root-beside").mkdir()
    return tmp_path / "root"


def test_a_folder_below_is_found_by_its_name_or_its_path(root: Path) -> None:
    other = root.parent / "root-beside"
    for asked in ("one", "./one/", str(root / "one"), "../root/one"):
        assert folder_under([other, root], asked) == root / "one"


@pytest.mark.parametrize(
    "asked",
    [
        "/etc",
        "../secret",
        "link",
        "loop",
        "file",
        "none",
        "../root-beside",
        "one\0",
        "x" * 9999,
        "~",
    ],
)
def test_anything_else_is_not_there(root: Path, asked: str) -> None:
    with pytest.raises(WeightsError, match="no folder") as raised:
        folder_under([root], asked)
    assert len(str(raised.value)) < 500


def test_without_a_root_nothing_is_loaded(root: Path) -> None:
    with pytest.raises(RefusedChange, match="weights_root"):
        folder_under([], str(root / "one"))
