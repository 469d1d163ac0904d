from pathlib import Path
from typing import Any

import pytest
import yaml

from splitfer.cloud_server.config import PREFIX, CloudConfig
from splitfer.shared.contracts import Limits
from splitfer.shared.errors import ConfigError
from splitfer.shared.settings import load_settings, printable
from tests.certificates import authority, openssl


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grpc_port: 7000\nhttp_port: 7000\n", "grpc_port and http_port are both 7000"),
        ("threads: 1000000\n", "threads: .*256"),
        ("picture_threads: 1000000\n", "picture_threads: .*256"),
        ("queue_max: 10000000\n", "queue_max: .*1000000"),
        ("grpc_streams_max: 5000000000\n", "grpc_streams_max: .*1000000"),
        ("limits: {body_bytes: 3000000000}\n", "limits: body_bytes is more than 0 and at most"),
        ("ray: {tail_cpus: .nan}\n", "ray.tail_cpus: .*finite"),
        ("ray: {tail_replicas_max: 10000000}\n", "ray: tail_replicas_max .*at most 1000000"),
        ("grpc_connection_age_s: .inf\n", "grpc_connection_age_s: .*finite"),
        ("threads: 1\nhost: a\nthreads: 2\n", r"cloud.yaml, line 3: the key stands in line 1"),
        ("limits:\n  body_bytes: 1\n  body_bytes: 2\n", "line 3: the key stands in line 2"),
        ('watch: ""\n', "cloud.yaml: watch: it is empty"),
        ('weights: ["/w", ""]\n', "cloud.yaml: weights: it is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load(written(tmp_path, "cloud.yaml", text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("files", "names", "what"),
    [
        (("none.pem", "s.key", None), "tls_cert: ", "cannot read .*none.pem"),
        (("s.pem", "none.key", None), "tls_key: ", "cannot read .*none.key"),
        (("s.pem", "s.key", "none.pem"), "tls_client_ca: ", "cannot read .*none.pem"),
        (("s.pem", ".", None), "tls_key: ", "Is a directory"),
        (("s.key", "s.key", None), "tls_cert: ", "s.key holds a key"),
        (("s.pem", "locked.key", None), "tls_key: ", "locked.key is encrypted, .*openssl pkey"),
        (("s.pem", "s.key", "s.key"), "tls_client_ca: ", "s.key holds a key"),
    ],
)
def test_tls_files_that_cannot_be_used_are_named(
    files: tuple[str, str, str | None], names: str, what: str, tmp_path: Path
) -> None:
    authority(tmp_path, "s")
    lock = ("pkey", "-in", "s.key", "-aes256", "-passout", "pass:secret")
    openssl(tmp_path, *lock, "-out", "locked.key")
    cert, key, ca = (tmp_path / name if name else None for name in files)
    with pytest.raises(ConfigError, match=names + ".*" + what) as raised:
        load(tls_cert=cert, tls_key=key, tls_client_ca=ca).certificates()
    assert "\n" not in str(raised.value)


def test_any_two_free_ports_are_two() -> None:
    assert (load(grpc_port=0, http_port=0).grpc_port, load().threads) == (0, 1)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("**********", "shorter than 16"),
        ("fifteen-letters", "shorter than 16"),
        ("*" * 40, "one character over and over"),
    ],
)
def test_a_token_that_lets_anybody_in_is_refused(
    token: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_TOKEN", token)
    with pytest.raises(ConfigError, match=f"SPLITFER_CLOUD_TOKEN: .*{message}") as raised:
        load()
    assert token not in str(raised.value)


def test_paths_in_a_file_count_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    monkeypatch.chdir(tmp_path)
    text = "weights: [w/a, /w/b]\nweights_root: r:/s\ntls_cert: a.pem\ntls_key: a.key\n"
    file = written(tmp_path / "etc", "cloud.yaml", text)
    for name in (file, Path("etc/cloud.yaml")):
        config = load(name, tokens=Path("t.yaml"))
        assert config.weights == (tmp_path / "etc/w/a", Path("/w/b"))
        assert config.weights_root == (tmp_path / "etc/r", Path("/s"))
        assert config.tls_cert == tmp_path / "etc/a.pem"
        assert config.tokens == Path("t.yaml"), "a flag's counts from the working directory"
    monkeypatch.setenv("SPLITFER_CLOUD_TLS_KEY", "b.key")
    assert load(file).tls_key == Path("b.key")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "WEIGHTS", "TLS_CERT", "THREADS", "LIMITS__BODY_BYTES", "MISSPELT"):
        monkeypatch.setenv(f"SPLITFER_CLOUD_{name}", "")
    assert load() == CloudConfig()


def test_a_nested_variable_is_not_ignored_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_LIMITS", '{"body": 1}')
    with pytest.raises(ConfigError, match=r"unknown key limits.body in SPLITFER_CLOUD_"):
        load()


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(ConfigError, match="--grpc-port: "):
        load(grpc_port=-1)


def test_printed_settings_can_be_read_back_and_hold_no_secret(tmp_path: Path) -> None:
    config = load(token="s3cret-of-this-test", threads=2, weights=[Path("/w/a"), Path("/w/b")])
    text = printable(config)
    assert "s3cret" not in text
    assert yaml.safe_load(text)["limits"]["faces_per_frame"] == 32
    again = load(written(tmp_path, "printed.yaml", text), token="s3cret-of-this-test")
    assert again == config
    assert load(tmp_path / "printed.yaml").token is None


def test_printed_settings_mean_the_same_wherever_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = "http://me:s3cret@collector:4318"
    text = printable(load(weights=[Path("w")], tokens=Path("t.yaml"), otlp_endpoint=address))
    assert "s3cret" not in text
    assert "# Set, and left out since it holds a secret: otlp_endpoint\n" in text
    (tmp_path / "elsewhere").mkdir()
    again = load(written(tmp_path / "elsewhere", "printed.yaml", text))
    assert again.weights == (tmp_path / "w",)
    assert again.tokens == tmp_path / "t.yaml"
    assert again.otlp_endpoint is None


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
