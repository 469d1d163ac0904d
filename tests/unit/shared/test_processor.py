from __future__ import annotations

from pathlib import Path

import pytest

from splitfer.shared.errors import ConfigError
from splitfer.shared.processor import check_processor


@pytest.mark.parametrize(
    ("machine", "flags", "good"),
    [
        ("x86_64", "flags\t\t: fpu sse sse2 avx avx2", True),
        ("x86_64", "flags\t\t: fpu sse sse2 ssse3", False),
        ("x86_64", "flags\t\t: fpu avx512f", False),
        ("x86_64", "nothing of it", True),
        ("aarch64", "flags\t\t: fp asimd", True),
    ],
)
def test_a_processor_without_avx_is_told_before_it_dies(
    tmp_path: Path, machine: str, flags: str, good: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{flags}\n")
    if good:
        check_processor(file, machine)
    else:
        with pytest.raises(ConfigError, match="no AVX"):
            check_processor(file, machine)


def test_where_nothing_can_be_told_nothing_is_refused(tmp_path: Path) -> None:
    check_processor(tmp_path / "gone", "x86_64")
