"""A token goes to another machine over TLS, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitfer.cloud_server.cli import run
from splitfer.edge_client.cli import main
from splitfer.edge_client.config import EdgeConfig, load_config
from splitfer.shared.errors import ConfigError

TOKEN = "only-for-this-test"
ELSEWHERE = ["192.0.2.7:50051", "cloud.example:50051", "[2001:db8::1]:50051", "10.0.0.1:1"]
HERE = ["127.0.0.1:50051", "localhost:50051", "[::1]:50051", "127.8.0.1:9"]


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_EDGE_TOKEN", TOKEN)


@pytest.mark.parametrize("server", ELSEWHERE)
def test_it_is_refused_without_tls(server: str) -> None:
    with pytest.raises(ConfigError, match="insecure_token") as refused:
        load_config(None, {"server": server})
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("server", HERE)
def test_on_this_machine_nobody_is_on_the_way(server: str) -> None:
    assert load_config(None, {"server": server}).server == server


def test_with_tls_or_a_word_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    load_config(None, {"server": ELSEWHERE[0], "server_ca": tmp_path / "ca.pem"})
    monkeypatch.setenv("SPLITFER_EDGE_INSECURE_TOKEN", "true")
    assert load_config(None, {"server": ELSEWHERE[0]}).insecure_token


def test_without_a_token_there_is_nothing_to_keep() -> None:
    assert EdgeConfig(server=ELSEWHERE[0]).token is None


@pytest.mark.parametrize("command", ["run", "classify", "health"])
def test_each_command_says_so_in_a_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"run": ["--source", "demo"], "classify": ["a.jpg"], "health": []}[command]
    assert main([command, *words, "--server", ELSEWHERE[0]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "server_ca" in line
    assert TOKEN not in line


def test_an_operators_token_neither(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPLITFER_ADMIN_TOKEN", TOKEN)
    assert run(["models", "--url", "http://192.0.2.7:8080", "list"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--insecure-token" in line
    assert TOKEN not in line
