"""A server that can never work says why: real sockets, real TLS, what a person then reads."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from splitfer import Recognizer
from splitfer.edge_client.address import parse_address
from splitfer.edge_client.link.channel import open_channel
from splitfer.edge_client.link.diagnosis import diagnose
from splitfer.edge_client.link.link import Link
from splitfer.shared.cause import Cause
from splitfer.shared.certificates import Certificates
from splitfer.shared.contracts import Reason
from splitfer.shared.errors import ConfigError
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import add_SplitFerServicer_to_server
from tests.certificates import authority, certificate
from tests.integration.test_link import FINGERPRINT, Played, PlayedServer, outcome
from tests.loaded import EDGE, run_loaded
from tests.processes import free_port, wait_until

WITHOUT_OURS = {k: v for k, v in os.environ.items() if not k.startswith("SPLITFER_")}
TOKEN = "sesame-open-sesame"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority(folder, "ca")
    authority(folder, "strange-ca")
    certificate(folder, "server", "ca")
    certificate(folder, "elsewhere", "ca", "DNS:elsewhere.example")
    certificate(folder, "expired", "ca", days=-1)
    certificate(folder, "edge", "ca")
    certificate(folder, "stranger", "strange-ca")
    return folder


class Peers:
    """What may listen where a server was expected. Each gives its address."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self._folder, self._closing = folder, closing

    def _pem(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def ours(self, name: str | None = None, client_ca: str | None = None, of: Any = None) -> str:
        """A server of ours, or of service ``of``; over TLS with certificate ``name``."""
        server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
        if of is None:
            add_SplitFerServicer_to_server(Played(), server)
        if name is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (self._pem(f"{name}.key"), self._pem(f"{name}.pem"))
            trust = self._pem(client_ca) if client_ca else None
            credentials = grpc.ssl_server_credentials([pair], trust, client_ca is not None)
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        self._closing.callback(lambda: server.stop(None).wait())
        return f"127.0.0.1:{port}"

    def http(self) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self._closing.callback(server.server_close)
        self._closing.callback(thread.join)
        self._closing.callback(server.shutdown)
        return f"127.0.0.1:{server.server_port}"

    def mute(self) -> str:
        """Takes connections and says nothing."""
        listener = self._closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def deaf(self) -> str:
        """Answers no connection, as behind a firewall: its queue of them is full."""
        listener = self._closing.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(2):
            peer = self._closing.enter_context(socket.socket())
            peer.setblocking(False)
            peer.connect_ex(address)
        return f"127.0.0.1:{address[1]}"


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def peers(folder: Path) -> Iterator[Peers]:
    with ExitStack() as closing:
        yield Peers(folder, closing)


@pytest.fixture
def trust(folder: Path) -> Certificates:
    return Certificates((folder / "ca.pem").read_bytes())


@contextmanager
def linked(address: str, certificates: Certificates, token: str | None = None) -> Iterator[Link]:
    pems = (certificates.ca, certificates.cert, certificates.key)
    look = partial(diagnose, parse_address(address), certificates)
    link = Link(
        partial(open_channel, address, *pems),
        FINGERPRINT,
        ["raw"],
        token,
        server=address,
        diagnose=look,
    )
    try:
        yield link
    finally:
        link.close()


def told(
    address: str,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    handshakes: int = 3,
) -> tuple[Cause | None, str]:
    """The cause once so many handshakes have begun, and the one line that was logged of it."""
    with caplog.at_level(logging.WARNING), linked(address, certificates) as link:
        wait_until(lambda: link._breaker.probes >= handshakes, "several handshakes")
        cause, report = link.cause, link.report()
    (line,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert address in line
    assert line.isprintable()
    assert report["failure"]["words"] in line
    assert report["failure"]["cause"] == cause
    assert report["server"] == address
    return cause, line


PLAIN = Certificates()


def test_an_unknown_host(caplog: pytest.LogCaptureFixture) -> None:
    cause, line = told("no-such-host.invalid:50051", PLAIN, caplog)
    # Where no name server can be reached, nobody says that the name is unknown.
    assert cause in (Cause.UNKNOWN_HOST, Cause.NAME_SERVER)
    assert "DNS" in line or "name server" in line


def test_a_closed_port(caplog: pytest.LogCaptureFixture) -> None:
    cause, line = told(f"127.0.0.1:{free_port()}", PLAIN, caplog)
    assert cause is Cause.REFUSED
    assert "start the server" in line


def test_an_address_where_nothing_answers(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    cause, line = told(peers.deaf(), PLAIN, caplog, handshakes=2)
    assert cause is Cause.TIMED_OUT
    assert "firewall" in line


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_listener_without_a_word(
    over_tls: bool, peers: Peers, trust: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    # Each waits for as long as a handshake may take: two tell as much as three.
    found, _ = told(peers.mute(), trust if over_tls else PLAIN, caplog, handshakes=2)
    assert found is Cause.SILENT


@pytest.mark.parametrize("over_tls", [False, True])
def test_the_http_port(
    over_tls: bool, peers: Peers, trust: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    cause, line = told(peers.http(), trust if over_tls else PLAIN, caplog)
    assert cause is Cause.OTHER_PROTOCOL
    assert "gRPC port" in line


def test_another_grpc_service(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    assert told(peers.ours(of="nothing"), PLAIN, caplog)[0] is Cause.OTHER_SERVICE


def test_tls_against_plain_text(
    peers: Peers, trust: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    cause, line = told(peers.ours(), trust, caplog)
    assert cause is Cause.PLAIN_SERVER
    assert "tls_cert" in line


def test_plain_text_against_tls(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    cause, line = told(peers.ours("server"), PLAIN, caplog)
    assert cause is Cause.TLS_SERVER
    assert "server_ca" in line


@pytest.mark.parametrize(
    ("certificate_of", "ca", "cause"),
    [
        ("server", "strange-ca.pem", Cause.CERTIFICATE_UNKNOWN),
        ("elsewhere", "ca.pem", Cause.CERTIFICATE_NAME),
        ("expired", "ca.pem", Cause.CERTIFICATE_EXPIRED),
    ],
)
def test_a_certificate_that_is_not_trusted(
    certificate_of: str,
    ca: str,
    cause: Cause,
    peers: Peers,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, trusting = peers.ours(certificate_of), Certificates((folder / ca).read_bytes())
    assert told(address, trusting, caplog)[0] is cause
    # gRPC's words are no contract: a look of one's own would have found the same.
    assert diagnose(parse_address(address), trusting) is cause


@pytest.mark.parametrize(
    ("name", "cause"),
    [(None, Cause.CERTIFICATE_WANTED), ("stranger", Cause.CERTIFICATE_REFUSED)],
)
def test_a_server_that_asks_for_a_certificate(
    name: str | None, cause: Cause, peers: Peers, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = [(folder / f"{name}.{kind}").read_bytes() if name else None for kind in ("pem", "key")]
    certificates = Certificates((folder / "ca.pem").read_bytes(), *own)
    found, line = told(peers.ours("server", "ca.pem"), certificates, caplog)
    assert found is cause
    assert "client_cert" in line


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_server_in_order_gives_a_look_nothing_to_find(
    over_tls: bool, peers: Peers, folder: Path, trust: Certificates
) -> None:
    address = parse_address(peers.ours("server" if over_tls else None))
    assert diagnose(address, trust if over_tls else PLAIN) is None


def test_a_cause_that_changes_is_told_and_so_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    server = PlayedServer()
    listener = socket.create_server(("127.0.0.1", server.port))
    with caplog.at_level(logging.WARNING), linked(f"127.0.0.1:{server.port}", PLAIN) as link:
        try:
            wait_until(lambda: link.cause is Cause.SILENT, "the mute listener to be told")
            listener.close()
            wait_until(lambda: link.cause is Cause.REFUSED, "the closed port to be told")
            server.start()
            wait_until(lambda: link.refusal is None, "the server to be found")
            assert outcome(link) is None
        finally:
            server.stop()
    said = [record.getMessage() for record in caplog.records]
    assert ["nothing in gRPC" in said[0], "refused" in said[1], "can be used now" in said[2]] == [
        True,
        True,
        True,
    ], said
    assert len(said) == 3


def test_calls_that_fail_while_handshakes_succeed_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = PlayedServer()
    server.start()
    server.played.refuse = (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
    with caplog.at_level(logging.WARNING), linked(f"127.0.0.1:{server.port}", PLAIN) as link:
        try:
            for _ in range(3):  # each time the breaker opens, and a handshake closes it again
                wait_until(lambda: link.refusal is None, "the handshake")
                assert outcome(link) is Reason.OVERLOADED
                assert outcome(link) is Reason.OVERLOADED
                assert outcome(link) is Reason.OVERLOADED
                assert link.cause is Cause.OVERLOADED
            wait_until(lambda: link.refusal is None, "the handshake")
            server.played.refuse = None
            assert outcome(link) is None
        finally:
            server.stop()
    busy, over = (record.getMessage() for record in caplog.records)
    assert "too busy (as the play says)" in busy
    assert "can be used now" in over


def test_a_server_that_stops_is_not_said_to_refuse_connections_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = PlayedServer()
    server.start()
    with caplog.at_level(logging.WARNING), linked(f"127.0.0.1:{server.port}", PLAIN) as link:
        assert link.wait_for_handshake(10)
        assert outcome(link) is None
        server.stop()
        wait_until(lambda: outcome(link) is Reason.BREAKER_OPEN, "the breaker to open")
        wait_until(lambda: link._breaker.probes >= 2, "two handshakes")
        assert link.cause is Cause.REFUSED
    assert not any("at once" in record.getMessage() for record in caplog.records)
    assert "refused" in caplog.records[-1].getMessage()
    assert len(caplog.records) <= 2, "the connection that broke, and that there is no other"


class Parrot(Played):
    """Refuses everybody, and repeats what it was sent."""

    def GetModel(self, request: Any, context: Any) -> Any:
        sent = {entry.key: entry.value for entry in context.invocation_metadata()}
        context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            f"\x1b[31mno {sent['authorization']}\n2026 ERROR forged" + "x" * 1000,
        )


def test_the_servers_own_words_are_cut_escaped_and_without_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = PlayedServer()
    server.played = Parrot()
    server.start()
    try:
        with (
            caplog.at_level(logging.DEBUG),
            linked(f"127.0.0.1:{server.port}", PLAIN, TOKEN) as link,
        ):
            wait_until(lambda: link._breaker.probes >= 2, "two handshakes")
    finally:
        server.stop()
    assert TOKEN not in caplog.text
    (line,) = (r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert r"\x1b[31mno Bearer ***\n2026 ERROR forged" in line
    assert line.isprintable()
    assert len(line) < 500


# -- the command line, and Python ----------------------------------------------------------------


@pytest.fixture
def portrait(astronaut: NDArray[np.uint8], tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(astronaut[:300]).save(path)
    return path


def edge(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_loaded(EDGE, *arguments, environment=WITHOUT_OURS | variables, timeout_s=100)


def test_the_command_says_it_in_one_line_and_nothing_of_grpcs(
    portrait: Path, weights_folder: Path, peers: Peers, folder: Path, tmp_path: Path
) -> None:
    summary, why = tmp_path / "summary.json", tmp_path / "why.jsonl"
    done = edge(
        "run",
        "--source",
        str(portrait),
        "--policy",
        "cloud",
        "--server",
        peers.ours("server"),
        "--server-ca",
        str(folder / "strange-ca.pem"),
        "--weights",
        str(weights_folder),
        "--summary",
        str(summary),
        "--explain",
        str(why),
    )
    assert done.returncode == 0, done.stderr
    warning, ending = done.stderr.splitlines()
    assert "not trusted here" in warning
    assert ending.startswith("1 frames")
    link = json.loads(summary.read_text())["link"]
    assert (link["state"], link["failure"]["cause"]) == ("connecting", "certificate_unknown")
    (decision,) = map(json.loads, why.read_text().splitlines())
    assert (decision["refusal"], decision["cause"]) == ("link_down", "certificate_unknown")


def test_a_proxy_of_the_environment_is_not_used(peers: Peers) -> None:
    address = peers.ours()
    code = (
        "from splitfer.edge_client.link.channel import open_channel; import grpc, sys\n"
        f"grpc.channel_ready_future(open_channel('{address}', None)).result(30)"
    )
    proxy = f"http://127.0.0.1:{free_port()}"
    variables = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), proxy)
    done = subprocess.run(
        [sys.executable, "-c", code], env=WITHOUT_OURS | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--server", "http://cloud.example:8080"], "--server: expected host:port, not a URL"),
        (["--server", "::1:50051"], "brackets"),
        (["--server", "a:1", "--server-ca", "gone.pem"], "server_ca: cannot read gone.pem"),
    ],
)
@pytest.mark.parametrize("command", [["run", "--source", "demo"], ["classify", "x.jpg"]])
def test_what_can_be_judged_at_the_start_ends_it(
    command: list[str], flags: list[str], named: str
) -> None:
    done = edge(*command, *flags)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert named in line


def test_a_token_that_cannot_be_sent_ends_it_unseen() -> None:
    done = edge("run", "--source", "demo", "--server", "a:1", SPLITFER_EDGE_TOKEN=f"{TOKEN}\n")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "SPLITFER_EDGE_TOKEN: the token holds a line break" in line
    assert TOKEN not in line


def test_from_python(folder: Path, weights_folder: Path) -> None:
    with pytest.raises(ConfigError, match="is not the key of client_cert"):
        Recognizer(
            "a:1",
            weights=weights_folder,
            server_ca=folder / "ca.pem",
            client_cert=folder / "edge.pem",
            client_key=folder / "stranger.key",
        )
    with Recognizer(f"127.0.0.1:{free_port()}", weights=weights_folder) as recognizer:
        report = recognizer.link_report()
    assert report is not None
    assert report["failure"]["cause"] == "refused"
    with Recognizer(weights=weights_folder) as recognizer:
        assert recognizer.link_report() is None
