from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitfer.shared.regular_file import MIB, read_regular


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_all_of_it_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, size: int, most: int
) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    data = os.urandom(min(size, 1000)) * (size // 1000 + 1)
    path.write_bytes(data[:size])
    if size > most:
        with pytest.raises(OSError, match="more than"):
            read_regular(path, most)
    else:
        assert read_regular(path, most) == data[:size]


def test_what_has_no_size_is_read_to_its_end() -> None:
    assert read_regular(Path("/proc/self/status"), MIB).startswith(b"Name:")
    with pytest.raises(OSError, match="more than"):
        read_regular(Path("/proc/self/status"), 10)


def test_no_room_is_made_for_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(bytes(1000))
    tracemalloc.start()
    try:
        read_regular(path, 512 * MIB)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
