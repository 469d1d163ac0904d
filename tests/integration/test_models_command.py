"""``cloud-server models`` against a real server, as an operator types it."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splitfer.cloud_server.admission.tokens import Scope, token_line
from splitfer.cloud_server.cli import run
from splitfer.cloud_server.weights.served import cloud_tails
from splitfer.shared.codec.latent import Latent
from splitfer.shared.codec.payload import PayloadCodec
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2_grpc as pb_grpc
from splitfer.shared.weights import Weights, default_folder
from tests.certificates import authority, certificate
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.processes import wait_until

TOKEN = "only-for-this-test"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
MODELS = "/v1/admin/models"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITFER_ADMIN_TOKEN", TOKEN)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@contextmanager
def serving(weights: Path, folder: Path, *flags: str, **settings: Any) -> Iterator[CloudProcess]:
    file = folder / "cloud.yaml"
    tokens = folder / "tokens.yaml"
    tokens.write_text(token_line("operator", TOKEN, list(Scope)))
    file.write_text(json.dumps({"tokens": str(tokens), **settings}))
    with CloudProcess(weights, "--config", str(file), *flags) as server:
        yield server


def models(server: CloudProcess, *arguments: str) -> int:
    return run(["models", "--url", f"http://{server.http}", *arguments])


def ask(server: CloudProcess, method: str, path: str, **what: Any) -> httpx.Response:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
        return client.request(method, path, timeout=PATIENCE_S, **what)


def test_load_switch_roll_back_unload(
    old_weights_folder: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = old_weights_folder.name, default_folder().name
    tails = ",".join(cloud_tails(Weights(default_folder())))
    shutil.copytree(default_folder(), root / "new")
    shutil.copytree(default_folder(), root / "altered")
    (root / "altered" / "head.onnx").write_bytes(b"not the head")

    with serving(old_weights_folder, tmp_path, "--weights-root", str(root)) as server:

        def lines() -> list[list[str]]:
            return [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]

        assert models(server, "list") == 0
        assert lines() == [[old, "default", "cloud", str(old_weights_folder)]]
        assert models(server, "load", "new", "--default") == 0
        assert lines() == [
            [new, "default", tails, str(root / "new")],
            [old, "serving", "cloud", str(old_weights_folder)],
        ]
        assert models(server, "--json", "rollback") == 0
        reply = json.loads(capsys.readouterr().out)
        assert [(one["fingerprint"], one["state"]) for one in reply["models"]] == [
            (old, "default"),
            (new, "serving"),
        ]
        assert reply["previous"] is None

        # What cannot be done says why, in one line, with an exit code of its own.
        for arguments, code, why in (
            (("load", "altered", "--default"), 4, "head.onnx is not the file"),
            (("load", "/etc"), 4, f"no folder '/etc' under {root}"),
            (("unload", old), 1, "is the default"),
            (("unload", "../default"), 2, "no fingerprint"),
            (("default", "0" * 16), 1, "no weights"),
            (("default", "nonsense"), 2, "no fingerprint"),
            (("rollback",), 1, "no weights that were the default before"),
        ):
            assert models(server, *arguments) == code, arguments
            err = capsys.readouterr().err
            assert why in err
            assert len(err.splitlines()) == 1
        assert "altered/head.onnx is not the file" in server.log, "the operator's log has it too"

        assert models(server, "unload", new) == 0
        assert [line[:2] for line in lines()] == [[old, "default"]]
        model = ask(server, "GET", "/v1/model", headers=ADMIN).json()
        assert (model["fingerprint"], model["served"]) == (old, [old])


def test_only_an_admin_may(
    old_weights_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with CloudProcess(old_weights_folder) as server:
        # Without tokens nobody is an admin, not even on loopback.
        assert ask(server, "GET", MODELS).status_code == 403
    with serving(old_weights_folder, tmp_path) as server:
        for method, path, body in (
            ("GET", MODELS, None),
            ("POST", MODELS, {"folder": "x"}),
            ("PUT", f"{MODELS}/default", {"fingerprint": "previous"}),
            ("DELETE", f"{MODELS}/{'0' * 16}", None),
        ):
            refused = ask(server, method, path, json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorised")
        assert models(server, "load", "x") == 1
        assert "set weights_root" in capsys.readouterr().err
        monkeypatch.setenv("SPLITFER_ADMIN_TOKEN", "wrong")
        assert models(server, "list") == 1
        assert "SPLITFER_ADMIN_TOKEN" in capsys.readouterr().err
        monkeypatch.delenv("SPLITFER_ADMIN_TOKEN")
        assert models(server, "list") == 1
        assert "set it to a token with the scope admin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "code", "why"),
    [
        ("http://127.0.0.1:9", 1, "the connection was refused"),
        ("http://no-such-host.invalid:8080", 1, "name"),
        ("127.0.0.1:8080", 2, "--url"),
        ("http://[", 2, "--url"),
        ("http://127.0.0.1:8080/elsewhere", 2, "--url"),
        ("http://127.0.0.1:8080\n", 2, "line breaks"),
        ("http://a b:8080", 2, "spaces"),
        ("http://me:sesame@127.0.0.1:8080", 2, "leave out user and password"),
    ],
)
def test_a_server_that_is_not_there(
    url: str, code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--insecure-token", "--url", url]
    for words in (["models", *target, "list"], ["models", "list", *target]):
        assert run(words) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert why in line
        assert "sesame" not in line


@pytest.mark.parametrize("action", ["unload", "default"])
def test_what_is_no_fingerprint_is_refused_in_words(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", action, "edgecnn"]) == 2
    assert "'edgecnn' is no fingerprint, which is 16 hex digits" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["ses\name", "sesäme", "ses ame"])
def test_a_token_that_cannot_be_sent(
    token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITFER_ADMIN_TOKEN", token)
    assert run(["models", "list"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "SPLITFER_ADMIN_TOKEN: the token holds" in line
    assert token not in line


def test_a_server_that_cannot_work_says_why(
    old_weights_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority(tmp_path, "ca")
    authority(tmp_path, "strange-ca")
    certificate(tmp_path, "server", "ca")
    tls = {
        name: str(tmp_path / f"server.{end}")
        for name, end in (("tls_cert", "pem"), ("tls_key", "key"))
    }
    ca, strange = str(tmp_path / "ca.pem"), str(tmp_path / "strange-ca.pem")

    def says(url: str, *flags: str) -> str:
        assert run(["models", "--url", url, *flags, "list"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    with serving(old_weights_folder, tmp_path) as server:
        assert "HTTP port" in says(f"http://{server.grpc}")
        assert "does not speak TLS" in says(f"https://{server.http}", "--ca", ca)
    with serving(old_weights_folder, tmp_path, **tls) as server:
        assert "begin --url with https" in says(f"http://{server.http}")
        assert "--ca" in says(f"https://{server.http}", "--ca", strange)
    with serving(old_weights_folder, tmp_path, **tls, tls_client_ca=ca) as server:
        assert "set --cert and --key" in says(f"https://{server.http}", "--ca", ca)


def slow_to_load(root: Path) -> Path:
    """A folder with a network as large as may be, read for a while before it is found wrong; gives
    the network's file."""
    unfinished = Path(shutil.copytree(default_folder(), root / ".slow"))
    with (unfinished / "cloud.onnx").open("wb") as file:
        file.truncate(512 * 2**20)  # holes: it takes no place
    return unfinished.rename(root / "slow") / "cloud.onnx"


def wait_until_read(server: CloudProcess, file: Path) -> None:
    """Return while ``server`` reads ``file``."""
    opened = Path(f"/proc/{server.pid}/fd")

    def reads() -> bool:
        for one in opened.iterdir():
            with suppress(OSError):  # closed meanwhile
                if one.readlink() == file:
                    return True
        return False

    wait_until(reads, f"{file.name} to be read", PATIENCE_S)


def test_answers_and_sigterm_while_weights_load(
    old_weights_folder: Path, root: Path, tmp_path: Path
) -> None:
    file = slow_to_load(root)
    with serving(old_weights_folder, tmp_path, "--weights-root", str(root)) as server:
        replies: list[httpx.Response] = []
        body = {"folder": "slow"}
        loading = threading.Thread(
            target=lambda: replies.append(ask(server, "POST", MODELS, json=body, headers=ADMIN))
        )
        payload = PayloadCodec(None, 1).encode(Latent(np.full((8, 28, 28), 128, np.uint8), 0))
        with server.channel() as channel:
            request = pb.InferRequest(fingerprint=server.fingerprint, payloads=[payload])
            stub = pb_grpc.SplitFerStub(channel)
            metadata = (("authorization", ADMIN["Authorization"]),)
            loading.start()
            wait_until_read(server, file)
            reply = stub.Infer(request, timeout=PATIENCE_S, metadata=metadata)
            assert reply.results[0].answer.model == f"{old_weights_folder.name}/cloud"
            assert not replies
        server.signal(signal.SIGTERM)
        server.wait_for_line("draining")
        loading.join(PATIENCE_S)
        assert replies[0].status_code == 422
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def test_a_stop_drops_the_weights_that_a_watch_loads(
    old_weights_folder: Path, root: Path, tmp_path: Path
) -> None:
    flags = ("--watch", str(root))
    with serving(old_weights_folder, tmp_path, *flags, drain_s=0.1) as server:
        wait_until_read(server, slow_to_load(root))
        server.signal(signal.SIGTERM)
        server.wait_for_line("stopped")
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def test_a_watched_folder(old_weights_folder: Path, root: Path, tmp_path: Path) -> None:
    old, new = old_weights_folder.name, default_folder().name
    shutil.copytree(default_folder(), root / "there-from-the-start")
    with serving(old_weights_folder, tmp_path, "--watch", str(root)) as server:

        def served() -> list[str]:
            model = ask(server, "GET", "/v1/model", headers=ADMIN).json()
            return list(model["served"])

        assert served() == [old, new]
        shutil.rmtree(root / "there-from-the-start")
        wait_until(lambda: served() == [old], "the folder that went to be unloaded")
        shutil.copytree(default_folder(), root / ".copy")
        (root / ".copy").rename(root / "again")
        wait_until(lambda: served() == [old, new], "the folder that came to be served")
