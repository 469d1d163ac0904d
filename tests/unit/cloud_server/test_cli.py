import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from splitfer.cloud_server.admission.tokens import Scope, read_tokens, token_digest
from splitfer.cloud_server.cli import run


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("SPLITFER_"):
            monkeypatch.delenv(name)


def test_print_config_shows_every_setting_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_TOKEN", "s3cret-of-this-test")
    assert run(["serve", "--grpc-port", "7", "--print-config"]) == 0
    out = capsys.readouterr().out
    assert "grpc_port: 7" in out
    assert "faces_per_frame: 32" in out
    assert "s3cret-of-this-test" not in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("cloud-server ")


@pytest.mark.parametrize(
    "words", ["['--help']", "['health', '--http-port', '9']", "['serve', '--print-config']"]
)
def test_what_asks_for_no_network_loads_none(words: str) -> None:
    """Probes ask every few seconds, on the core that the server has."""
    code = (
        "import sys\nfrom splitfer.cloud_server.cli import run\n"
        f"try: run({words})\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'onnxruntime', 'grpc', 'fastapi', 'dlib', 'PIL') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("argv", [[], ["serve", "--nope"], ["serve", "--grpc-port", "x"]])
def test_usage_errors(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(argv)
    assert raised.value.code == 2


def test_config_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITFER_CLOUD_GRPC_PRT", "1")
    assert run(["serve"]) == 2
    err = capsys.readouterr().err
    assert "SPLITFER_CLOUD_GRPC_PRT" in err
    assert len(err.splitlines()) == 1
    assert run(["serve", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("said_by", ["flag", "variable", "file"])
def test_with_json_logs_a_refused_start_is_json(
    said_by: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text("threads: 0\n" + ("log_format: json\n" if said_by == "file" else ""))
    if said_by == "variable":
        monkeypatch.setenv("SPLITFER_CLOUD_LOG_FORMAT", "json")
    flags = ["--log-format", "json"] if said_by == "flag" else []
    assert run(["serve", "--config", str(file), *flags]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("error", "splitfer.cloud_server")
    assert "cloud.yaml: threads: " in told["message"]
    assert run(["serve", "--config", str(file), *flags, "--debug"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "Traceback" in json.loads(line)["exception"]


def test_a_flag_for_one_file_stands_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(["serve", "--config", "a.yaml", "--config", "b.yaml"])
    assert raised.value.code == 2
    assert "--config stands twice" in capsys.readouterr().err


def test_a_new_token_and_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["token", "new", "door", "--scope", "infer", "--scope", "image"]) == 0
    token, line = capsys.readouterr().out.splitlines()
    assert token not in line
    file = tmp_path / "tokens.yaml"
    file.write_text(line)
    (entry,) = read_tokens(file).values()
    assert entry.sha256 == token_digest(token).hex()
    assert entry.scopes == {Scope.INFER, Scope.IMAGE}


def test_a_token_without_a_proper_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "new", "a b", "--scope", "infer"]) == 2
    assert "a token's name" in capsys.readouterr().err


def test_weights_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["serve", "--weights", str(tmp_path)]) == 4
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("lost", ["head.onnx", "cloud.onnx", "entropy.bin", "golden.npz"])
def test_the_folder_that_fails_is_named_and_not_the_others(
    capsys: pytest.CaptureFixture[str],
    lost: str,
    coded_weights_folder: Path,
    tmp_path: Path,
    old_weights_folder: Path,
) -> None:
    weights_copy = Path(shutil.copytree(coded_weights_folder, tmp_path / "copy"))
    (weights_copy / lost).unlink()
    folders = ["--weights", str(old_weights_folder), "--weights", str(weights_copy)]
    assert run(["serve", *folders, "--http-port", "0", "--grpc-port", "0"]) == 4
    err = capsys.readouterr().err
    assert str(weights_copy) in err
    assert str(old_weights_folder) not in err


def test_the_same_weights_twice(
    capsys: pytest.CaptureFixture[str], old_weights_folder: Path
) -> None:
    twice = ["--weights", str(old_weights_folder)] * 2
    assert run(["serve", *twice, "--http-port", "0", "--grpc-port", "0"]) == 2
    assert "are both 76c2ec20ba6c6356" in capsys.readouterr().err


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str], weights_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        common = ["serve", "--weights", str(weights_folder)]
        assert run([*common, "--http-port", port, "--grpc-port", "0"]) == 2
        assert "http_port" in capsys.readouterr().err
        assert run([*common, "--grpc-port", port, "--http-port", "0"]) == 2
        assert "grpc_port" in capsys.readouterr().err


def test_models_without_an_action_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    out = capsys.readouterr().out
    assert "rollback" in out
    assert "--config" in out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["reload"], "pid_file"),
        (["reload", "--pid", "999999999"], "no process"),
        (["models", "--ca", "a.pem", "list"], "--url"),
    ],
)
def test_what_cannot_be_told_a_server(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1


def test_a_library_that_is_missing_is_one_line_with_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after an installation of the edge alone.
    monkeypatch.delitem(sys.modules, "splitfer.cloud_server.server.event_loop", raising=False)
    monkeypatch.setattr(
        sys,
        "meta_path",
        [_Without("splitfer.cloud_server.server.event_loop", "fastapi"), *sys.meta_path],
    )
    assert run(["serve"]) == 2
    err = capsys.readouterr().err
    assert "pip install '.[cloud]'" in err
    assert "fastapi" in err
    assert len(err.splitlines()) == 1


class _Without:
    """Finds that ``module`` needs ``library``, which is not there."""

    def __init__(self, module: str, library: str) -> None:
        self._module, self._library = module, library

    def find_spec(self, name: str, *_: object) -> None:
        if name == self._module:
            raise ModuleNotFoundError(f"No module named '{self._library}'", name=self._library)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_health_waits_for_some_time(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run(["health", "--timeout-s", seconds])
    assert raised.value.code == 2
    assert "--timeout-s" in capsys.readouterr().err
