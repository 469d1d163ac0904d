from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_server.config import PREFIX, CloudConfig
from shared.contracts import Limits
from shared.errors import ConfigError
from shared.settings import load_settings, printable


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("SPLITFER_"):
            monkeypatch.delenv(name)


def load(file: Path | None = None, **flags: Any) -> CloudConfig:
    return load_settings(CloudConfig, PREFIX, file, flags)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cloud.toml", 'host = "a"\ngrpc_port = 1\nhttp_port = 1\n[limits]\nbody_bytes = 1\n'),
        ("cloud.yaml", "host: a\ngrpc_port: 1\nhttp_port: 1\nlimits: {body_bytes: 1}\n"),
    ],
)
def test_flags_win_over_environment_over_file(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_GRPC_PORT", "2")
    monkeypatch.setenv("SPLITFER_CLOUD_HTTP_PORT", "2")
    monkeypatch.setenv("SPLITFER_CLOUD_LIMITS__FACES_PER_FRAME", "2")
    config = load(written(tmp_path, name, text), http_port=3, threads=None)
    assert (config.host, config.grpc_port, config.http_port) == ("a", 2, 3)
    assert config.threads == 1
    assert config.limits == Limits(body_bytes=1, faces_per_frame=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grpc_prt = 1", "unknown key grpc_prt in .*did you mean grpc_port"),
        ("[limits]\nbody = 1", "unknown key limits.body in .*did you mean limits.body_bytes"),
        ("grpc_port = 'x'", r"cloud.toml: grpc_port: .*integer"),
        ("grpc_port = 70000", r"cloud.toml: grpc_port: .*65535"),
        ("[limits]\nbody_bytes = 0", r"limits: body_bytes is more than 0"),
        ("grpc_port = = 1", "cloud.toml: "),
        ("tls_cert = 'a.pem'", "tls_cert and tls_key go together"),
        ("token = ' '", "token: an empty token"),
        ("tls_client_ca = 'a.pem'", "tls_client_ca goes with tls_cert"),
        ("health_cert = 'a.pem'", "health_cert and health_key go together"),
        ("cors_origins = ['https://app.example/']", "cors_origins: .*no origin"),
        ("cors_origins = 'app.example'", "cors_origins: .*no origin"),
        ("keep_alive_s = 0", "keep_alive_s: .*greater"),
        ("[caller_limits]\nconcurrent = 0", r"caller_limits.concurrent: .*greater"),
        ("[caller_limits]\nrate = 1", "unknown key caller_limits.rate"),
    ],
)
def test_a_wrong_file_names_the_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load(written(tmp_path, "cloud.toml", text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text"), [("cloud.yaml", "- 1"), ("cloud.yaml", "a: [1"), ("cloud.ini", "a=1")]
)
def test_a_file_that_is_no_config(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=name):
        load(written(tmp_path, name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cloud.yaml", 'token: "s3cret\n'),
        ("cloud.yaml", "token: s3cret: x\n"),
        ("cloud.yaml", "token: !s3cret\n"),
        ("cloud.yaml", "token: *s3cret\n"),
        ("cloud.yaml", "token: s3cret\x01\n"),
        ("cloud.yaml", "token: [s3cret]\n"),
        ("cloud.toml", 'token = "s3cret\n'),
        ("cloud.toml", 'token = "s3cret" s3cret\n'),
    ],
)
def test_an_error_never_quotes_a_secret(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=name) as raised:
        load(written(tmp_path, name, text))
    assert "s3cret" not in str(raised.value)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: No such file"):
        load(tmp_path / "none.toml")


def test_an_empty_yaml_file_sets_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, "cloud.yml", "# nothing\n")) == CloudConfig()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SPLITFER_CLOUD_GRPC_PRT", "1", "unknown variable .*SPLITFER_CLOUD_GRPC_PORT"),
        ("SPLITFER_CLOUD_GRPC_PORT", "x", "SPLITFER_CLOUD_GRPC_PORT: .*integer"),
        ("SPLITFER_CLOUD_LIMITS__BODY_BYTE", "1", "unknown variable .*BODY_BYTES"),
        ("SPLITFER_CLOUD_LIMITS__BODY_BYTES", "x", "SPLITFER_CLOUD_LIMITS__BODY_BYTES: .*integer"),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message):
        load()


def test_variables_of_other_processes_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_EDGE_SERVER", "x")
    monkeypatch.setenv("SPLITFER_DATA", "x")
    monkeypatch.setenv("HOST", "x")
    assert load() == CloudConfig()


def test_one_or_several_folders_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().weights == ()
    one = written(tmp_path, "one.yaml", "weights: /w/a b")
    assert load(one).weights == (Path("/w/a b"),)
    two = written(tmp_path, "two.yaml", "weights: [/w/a, /w/b]")
    assert load(two).weights == (Path("/w/a"), Path("/w/b"))
    monkeypatch.setenv("SPLITFER_CLOUD_WEIGHTS", "/w/c:/w/d")
    assert load(two).weights == (Path("/w/c"), Path("/w/d"))
    assert load(two, weights=[Path("/w/e")]).weights == (Path("/w/e"),)


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(ConfigError, match="--grpc-port: "):
        load(grpc_port=-1)


def test_printed_settings_can_be_read_back_and_hold_no_secret(tmp_path: Path) -> None:
    config = load(token="s3cret", threads=2, weights=[Path("/w/a"), Path("/w/b")])
    text = printable(config)
    assert "s3cret" not in text
    assert yaml.safe_load(text)["limits"]["faces_per_frame"] == 32
    again = load(written(tmp_path, "printed.yaml", text), token="s3cret")
    assert again == config


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        CloudConfig().threads = 2


@pytest.mark.parametrize(
    ("host", "beyond"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("me", True)],
)
def test_what_is_beyond_loopback(host: str, beyond: bool) -> None:
    assert CloudConfig(host=host).beyond_loopback is beyond


def test_origins_in_the_environment_are_one_string(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    assert load().cors_origins == ("https://a.example", "http://localhost:3000")
