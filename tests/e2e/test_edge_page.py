"""The edge in a real browser, with the demo clip as its camera, against a real server."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import splitfer.shared.weights
from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.device import Device, FoundFaces
from splitfer.shared.contracts import Box
from splitfer.shared.labels import LABELS
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import Weights, default_folder
from tests.clips import write_start_of_demo
from tests.e2e.edge_page import (
    assert_each_face_has_one_answer,
    faces_since,
    keep_worker,
    last_frame,
    needs_edge,
    open_edge,
    set_deadline,
    start,
    stop,
    wait_for_path,
)
from tests.e2e.test_page import Page, needs_browser
from tests.integration.cloud_process import CloudProcess
from tests.manifests import edit_manifest
from tests.processes import wait_until

pytestmark = [pytest.mark.timeout(300), needs_browser, needs_edge]
TOKEN = "only-for-this-test"
# Of logits across runtimes: what that may change of a probability.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    clip = write_start_of_demo(tmp_path_factory.mktemp("clip") / "clip.y4m", 40)
    page = Page(tmp_path_factory.mktemp("profile"), clip)
    yield page
    page.driver.quit()


@pytest.fixture
def server() -> Iterator[CloudProcess]:
    with CloudProcess(splitfer.shared.weights.default_folder()) as server:
        yield server


def test_cloud_then_local_then_cloud_again(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server)
    start(page)
    wait_for_path(page, "cloud", "an answer of the server")
    assert page.find("#link-word").text == "server"

    # The server is gone: answers go on, and say why.
    port = int(server.http.split(":")[1])
    stop(server)
    frame = last_frame(page)
    wait_for_path(page, "local", "an answer of the device", frame)
    wait_until(lambda: page.find("#link-word").text == "no server", "the page to say so")
    frame = last_frame(page)
    wait_until(lambda: faces_since(page, frame), "the next faces")
    assert {face["path"] for face in faces_since(page, frame)} == {"local"}
    reasons = {face["reason"] for face in faces_since(page, 0) if face["path"] == "local"}
    assert reasons <= {"link_down", "breaker_open", "deadline"}

    frame = last_frame(page)
    with CloudProcess(splitfer.shared.weights.default_folder(), http_port=port) as again:
        assert again.http == server.http
        ready_ms = page.driver.execute_script("return performance.now()")
        wait_for_path(page, "cloud", "an answer of the server that is back", frame)
        back_ms = page.driver.execute_script("return performance.now()") - ready_ms
        assert back_ms < 5000

    # Every face that was found has exactly one answer.
    assert_each_face_has_one_answer(page)


def test_a_frames_answer_is_the_python_edges(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server)
    page.driver.execute_script("own.value = 'larger'")  # however slow this machine is now
    keep_worker(page)
    start(page)
    set_deadline(page, 60_000)  # a search that takes its time stays as fine
    page.driver.execute_script("window.kept = null")
    wait_until(lambda: page.driver.execute_script("return window.kept"), "a frame with a face")
    kept = page.driver.execute_script("return kept")
    answer = kept["answer"]
    rgba = np.frombuffer(base64.b64decode(kept["rgba"]), np.uint8)
    rgb = rgba.reshape(answer["height"], answer["width"], 4)[..., :3].copy()

    device = Device(EdgeConfig(search_side_px=480, _env_file=None))
    found = device.find(rgb)
    assert isinstance(found, FoundFaces)
    assert [box.as_list() for box in found.boxes] == [face["box"] for face in answer["faces"]]
    local, _ = device.local_answers(found.tail_input)
    payloads = device.payloads(found.z, device.rate)
    weights = Weights(default_folder())
    tail = weights.tail(weights.manifest.default_tail, 1)
    for place, face in enumerate(answer["faces"]):
        shares = tuple(face["probabilities"][label] for label in LABELS)
        assert face["quality"] == pytest.approx(found.qualities[place], abs=TOLERANCE)
        if face["path"] == "local":
            assert shares == pytest.approx(local[place].probabilities, abs=TOLERANCE)
            continue
        latent = weights.payload_codec.decode(payloads[place])
        steps = weights.quantiser.steps(latent.rate)
        logits = tail.logits(latent.symbols[None], steps)[0]
        scaled = logits / weights.temperature(weights.manifest.default_tail, latent.rate)
        powers = np.exp(scaled - scaled.max())
        assert shares == pytest.approx(tuple(powers / powers.sum()), abs=TOLERANCE)
        # At most one symbol in ten thousand may differ, by one step.
        assert abs(face["sent_bytes"] - len(payloads[place])) <= 2
    assert to_grey(rgb).shape == (answer["height"], answer["width"])
    assert all(
        Box(*face["box"]).lies_in(answer["width"], answer["height"]) for face in answer["faces"]
    )


def test_the_second_start_needs_no_network(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server)
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    stop(server)
    open_edge(page, server)  # from what the browser kept
    start(page)
    wait_for_path(page, "local", "an answer of the device")
    assert {face["path"] for face in faces_since(page, 0)} == {"local"}
    assert page.find("#link-word").text == "no server yet"


def test_other_weights_are_kept_whole_before_they_are_used(
    browser: Page, server: CloudProcess, old_weights_folder: Path
) -> None:
    """The oldest: a manifest of another schema, a head that rounds, no tables."""
    page = browser
    open_edge(page, server)
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    port = int(server.http.split(":")[1])
    stop(server)
    with CloudProcess(old_weights_folder, http_port=port) as other:
        open_edge(page, other)
        start(page)  # with the weights of before
        wait_until(lambda: page.find("#sentence").text.startswith("The server has other"), "a word")
        script = """
            const done = arguments[0];
            const url = new URL("/edge/weights/manifest.json", location);
            caches.open("edge-weights-by-hash").then((cache) => cache.match(url))
              .then((reply) => reply.json()).then(({ fingerprint }) => done(fingerprint));
        """
        wait_until(
            lambda: page.driver.execute_async_script(script) == other.fingerprint, "them to be kept"
        )
        open_edge(page, other)
        start(page)
        wait_for_path(page, "cloud", "an answer of the server")
        stop(other)
        open_edge(page, other)
        start(page)
        wait_for_path(page, "local", "an answer of the device")
        models = {face["model"] for face in faces_since(page, 0)}
        assert models == {f"{other.fingerprint}/local"}


def test_other_golden_numbers_of_the_same_fingerprint(
    browser: Page, server: CloudProcess, tmp_path: Path
) -> None:
    """A tail that was added, say: the file has another hash under its name."""
    page = browser
    open_edge(page, server)
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    port = int(server.http.split(":")[1])
    stop(server)
    folder = tmp_path / default_folder().name
    shutil.copytree(default_folder(), folder)
    with np.load(folder / "golden.npz") as golden:
        np.savez(folder / "golden.npz", **golden, logits_of_another_tail=np.zeros(7, np.float32))
    sha256 = hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest()
    edit_manifest(folder, lambda said: said["golden"].update(sha256=sha256))
    with CloudProcess(folder, http_port=port) as other:
        open_edge(page, other)
        start(page)
        kept = """
            const done = arguments[0];
            const url = new URL("/edge/weights/manifest.json", location);
            caches.open("edge-weights-by-hash").then((cache) => cache.match(url))
              .then((reply) => reply.json()).then(({ golden }) => done(golden.sha256));
        """
        wait_until(
            lambda: page.driver.execute_async_script(kept) == sha256, "the manifest to be kept"
        )
        open_edge(page, other)
        start(page)
        wait_until(lambda: faces_since(page, 0), "faces")


def test_it_asks_its_own_server_alone_and_keeps_the_policy(
    browser: Page, server: CloudProcess
) -> None:
    page = browser
    open_edge(page, server)
    start(page)
    wait_for_path(page, "cloud", "an answer of the server")
    page.find("#wanted").send_keys("this device alone")
    frame = last_frame(page)
    wait_for_path(page, "local", "an answer of the device", frame)
    page.find("#start").click()
    page.wait_for("stopped")
    assert page.driver.execute_script("return document.getElementById('video').srcObject") is None
    assert page.log("browser") == []  # what the policy refuses would stand here
    urls = [
        message["params"]["request"]["url"]
        for entry in page.log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("/edge/edge.js") for url in urls)
    own = (f"http://{server.http}/", f"blob:http://{server.http}/", "data:")
    assert [url for url in urls if not url.startswith(own)] == []


def test_a_token_is_asked_for(browser: Page, tmp_path: Path) -> None:
    page = browser
    file = tmp_path / "cloud.yaml"
    file.write_text(f"token: {TOKEN}\n")
    with CloudProcess(default_folder(), "--config", str(file)) as server:
        open_edge(page, server)
        page.find("#start").click()
        wait_until(page.find("#token").is_displayed, "the field of the token")
        page.find("#token").send_keys(f"{TOKEN}\n")
        wait_for_path(page, "cloud", "an answer of the server")
        assert not page.find("#ask-token").is_displayed()


def test_a_phone_has_nothing_to_scroll_sideways(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server, width=320)
    assert page.overflow_px() == 0
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    assert page.overflow_px() == 0
    script = """
        const able = [...document.querySelectorAll("input, button, a, select")];
        const named = (e) => e.textContent.trim() || e.labels?.length || e.ariaLabel;
        return able.filter((e) => e.tabIndex < 0 || !named(e)).map((e) => e.outerHTML);
    """
    assert page.driver.execute_script(script) == []


def test_answers_push_nothing_about(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server)
    start(page)
    wait_for_path(page, "cloud", "an answer of the server")
    page.driver.execute_script("""
        window.shifts = [];
        new PerformanceObserver((list) => shifts.push(...list.getEntries().map((one) => one.value)))
          .observe({ type: "layout-shift" });
    """)
    frame = last_frame(page)
    page.find("#wanted").send_keys("this device alone")
    wait_for_path(page, "local", "an answer of the device", frame)
    stop(server)
    choose = "wanted.value = 'cloud'; wanted.dispatchEvent(new Event('change'))"
    page.driver.execute_script(choose)
    frame = last_frame(page)
    wait_until(lambda: any(face["reason"] for face in faces_since(page, frame)), "a reason")
    # Above a tenth a page is called unstable; a card that jumps by a line adds a thousandth.
    assert sum(page.driver.execute_script("return shifts")) < 0.02


def test_the_files(server: CloudProcess) -> None:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
        policy = client.get("/edge").headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "'wasm-unsafe-eval'" in policy
        assert "unsafe-inline" not in policy
        assert " 'unsafe-eval'" not in policy
        assert "onnxruntime-web" in client.get("/edge/licences.txt").text
        plain = client.get("/edge/codec.wasm", headers={"Accept-Encoding": "identity"})
        assert plain.content.startswith(b"\0asm")
        assert plain.content == client.get("/edge/codec.wasm").content
        manifest = client.get("/edge/weights/manifest.json").json()
        folder = f"/edge/weights/{manifest['fingerprint']}"
        head = client.get(f"{folder}/{manifest['head']['file']}")
        assert head.content == (default_folder() / manifest["head"]["file"]).read_bytes()
        # For ever where its hash is asked for, by which it is another one once it changes.
        assert head.headers["cache-control"] == "no-cache"
        for entry in (manifest["head"], manifest["half"], manifest["tails"]["edgecnn"]):
            named = client.get(f"{folder}/{entry['file']}?sha256={entry['sha256']}")
            assert hashlib.sha256(named.content).hexdigest() == entry["sha256"]
            assert "immutable" in named.headers["cache-control"]
            other = client.get(f"{folder}/{entry['file']}?sha256={manifest['golden']['sha256']}")
            assert other.status_code == 404
        # The server's own tails stay with it, and so does all else.
        cloud = manifest["tails"]["cloud"]["file"]
        inside = (cloud, "%2e%2e%2fDEFAULT", "..%2f..%2fDEFAULT")
        outside = ("weights/0123456789abcdef/head.onnx", "package.json", "build.mjs")
        paths = [f"{folder}/{name}" for name in inside] + [f"/edge/{name}" for name in outside]
        for path in paths:
            assert client.get(path).status_code == 404
