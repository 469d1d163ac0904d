import hashlib
from pathlib import Path

import pytest

from splitfer.cloud_server.admission.tokens import (
    Scope,
    new_token,
    read_tokens,
    token_digest,
    token_line,
)
from splitfer.shared.errors import ConfigError


@pytest.mark.parametrize("toml", [False, True])
def test_a_written_line_is_read_back(toml: bool, tmp_path: Path) -> None:
    tokens = {name: new_token() for name in ("door.1", "2024-yard")}
    file = tmp_path / ("tokens.toml" if toml else "tokens.yaml")
    scopes = [Scope.INFER, Scope.ADMIN]
    file.write_text("\n".join(token_line(n, t, scopes, toml) for n, t in tokens.items()))
    entries = read_tokens(file)
    assert set(entries) == set(tokens)
    for name, token in tokens.items():
        assert entries[name].sha256 == hashlib.sha256(token.encode()).hexdigest()
        assert entries[name].scopes == {Scope.INFER, Scope.ADMIN}
        assert entries[name].limits is None
        assert token not in file.read_text()


def test_tokens_are_long_and_differ() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token.removeprefix("splitfer_")) == 43 for token in tokens)  # 256 bits
    assert len(token_digest("x")) == 32


@pytest.mark.parametrize("name", ["", "a b", "-a", "a: b", "a\n", "x" * 65])
def test_a_name_that_fits_on_no_line(name: str) -> None:
    with pytest.raises(ConfigError, match="a token's name"):
        token_line(name, new_token(), [Scope.INFER])


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        read_tokens(tmp_path / "none.yaml")
