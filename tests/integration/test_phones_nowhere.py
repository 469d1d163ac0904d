"""Server and edge look up no name, connect to nothing but each other, and write no file that they
were not told to: what they and their libraries ask of the kernel is watched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import splitfer.cloud_server
import splitfer.shared.weights
from tests.clips import write_start_of_demo
from tests.integration.cloud_process import PATIENCE_S, CloudProcess
from tests.integration.watched import strays, watching, why_not

PICTURE = Path(splitfer.cloud_server.__file__).parent / "rest_api" / "page" / "example.jpg"
FRAMES = 24

pytestmark = [
    pytest.mark.skipif(bool(reason := why_not()), reason=str(reason)),
    pytest.mark.timeout(300),
]


@dataclass
class Home:
    """A machine of its own for a process, as far as folders make one."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """All of it: a switch that is set out here is not set in there."""
        given = {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp"}
        folders = {name: self.folder / folder for name, folder in given.items()}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        texts = {name: str(folder) for name, folder in folders.items()}
        return {**texts, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}

    @property
    def trace(self) -> Path:
        return self.folder / "trace"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def run(home: Home, *command: str) -> tuple[int, str, int]:
    """Exit code, output and process of a command that is watched."""
    process = subprocess.Popen(
        [*watching(home.trace), sys.executable, *command],
        env=home.environment,
        cwd=home.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, _ = process.communicate(timeout=4 * PATIENCE_S)
    return process.returncode, output, process.pid


def test_a_server_and_the_edges_that_ask_it_phone_nowhere(tmp_path: Path) -> None:
    homes = {}
    for name in ("server", "clip", "picture"):
        (tmp_path / name).mkdir()
        homes[name] = Home(tmp_path / name)
    clip = write_start_of_demo(tmp_path / "clip.y4m", FRAMES)
    with CloudProcess(
        splitfer.shared.weights.default_folder(),
        inside=watching(homes["server"].trace),
        environment=homes["server"].environment,
    ) as server:
        with httpx.Client(
            base_url=f"http://{server.http}", trust_env=False, timeout=PATIENCE_S
        ) as client:
            assert len(client.post("/v1/faces", content=PICTURE.read_bytes()).json()["faces"]) == 1
            for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/model", "/readyz"):
                assert client.get(path).status_code == 200

        names = ("answers.jsonl", "summary.json", "explained.jsonl", "boxes.mp4", "sheet.png")
        # Outputs are first written beside themselves, so their folder is what they were given.
        own = tmp_path / "outputs"
        own.mkdir()
        outputs = [own / name for name in names]
        answers, summary, explained, boxes, sheet = map(str, outputs)
        asking = ("--server", server.grpc, "--deadline-ms", "30000", "--log-level", "debug")
        code, output, pid = run(
            homes["clip"],
            "-m",
            "splitfer.edge_client.cli",
            "run",
            "--source",
            str(clip),
            "--policy",
            "cloud",
            "--output",
            answers,
            "--summary",
            summary,
            "--explain",
            explained,
            "--annotate",
            boxes,
            "--contact-sheet",
            sheet,
            *asking,
        )
        assert code == 0, output
        paths = [json.loads(line)["path"] for line in Path(answers).read_text().splitlines()]
        assert set(paths) == {"cloud"}
        assert all(file.stat().st_size for file in outputs)
        assert strays(homes["clip"].trace, pid, [own]) == []
        assert sorted(file.name for file in own.iterdir()) == sorted(names)

        code, output, pid = run(
            homes["picture"],
            "-m",
            "splitfer.edge_client.cli",
            "classify",
            str(PICTURE),
            "--policy",
            "image",
            *asking,
        )
        assert code == 0, output
        assert '"path": "image"' in output
        assert strays(homes["picture"].trace, pid, []) == []

        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert strays(homes["server"].trace, server.pid, []) == []


REACHING = """
import os, pathlib, socket, subprocess, sys
(pathlib.Path.home() / "left behind").write_text("device id")
os.chdir(os.environ["TMPDIR"])
subprocess.run([sys.executable, "-c", "import os; os.mkdir('by a child')"], check=True)
try:
    socket.getaddrinfo("collector.invalid", 443)
except OSError:
    pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:  # connecting sends nothing
    far.connect(("198.51.100.1", 9))
with socket.create_server(("127.0.0.1", 0)) as near:
    socket.create_connection(near.getsockname()).close()
open("given", "w").close()
open(os.devnull, "w").close()
"""


def test_whatever_does_phone_is_seen(home: Home) -> None:
    code, output, pid = run(home, "-c", REACHING)
    assert code == 0, output
    seen = strays(home.trace, pid, [home.folder / "tmp" / "given"])
    for word in ("left behind", "by a child", "/etc/hosts", '"198.51.100.1"'):
        assert [line for line in seen if word in line], word
    assert not [line for line in seen if "127.0.0.1" in line or "given" in line or "/null" in line]
