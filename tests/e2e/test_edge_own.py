"""The lighter of a browser's own networks, in a real browser."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from splitfer.edge_client.config import EdgeConfig
from splitfer.edge_client.device import Device
from splitfer.shared.contracts import Box
from splitfer.shared.labels import LABELS
from splitfer.shared.vision.picture import to_grey
from splitfer.shared.weights import default_folder
from tests.clips import write_start_of_demo
from tests.e2e.edge_page import (
    faces_since,
    keep_worker,
    needs_edge,
    open_edge,
    set_deadline,
    start,
    stop,
)
from tests.e2e.test_page import Page, needs_browser
from tests.integration.cloud_process import CloudProcess
from tests.processes import wait_until

pytestmark = [pytest.mark.timeout(300), needs_browser, needs_edge]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    clip = write_start_of_demo(tmp_path_factory.mktemp("clip") / "clip.y4m", 40)
    page = Page(tmp_path_factory.mktemp("profile"), clip)
    yield page
    page.driver.quit()


@pytest.fixture
def server() -> Iterator[CloudProcess]:
    with CloudProcess(default_folder()) as server:
        yield server


def choose(page: Page, **choices: str) -> None:
    for name, value in choices.items():
        script = "const one = window[arguments[0]]; one.value = arguments[1];"
        page.driver.execute_script(script + "one.dispatchEvent(new Event('change'))", name, value)


def by_lighter(page: Page) -> list[dict[str, Any]]:
    return [face for face in faces_since(page, 0) if face["model"].endswith("/edgecnn")]


def test_its_answer_is_that_of_a_python_edge_with_it(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server)
    choose(page, wanted="local", own="lighter")
    start(page)
    wait_until(lambda: by_lighter(page), "an answer of the lighter network")
    page.driver.execute_script("window.kept = null")  # and the next frame is kept
    wait_until(lambda: page.driver.execute_script("return window.kept"), "a frame with a face")
    kept = page.driver.execute_script("return kept")
    answer = kept["answer"]
    rgba = np.frombuffer(base64.b64decode(kept["rgba"]), np.uint8)
    rgb = rgba.reshape(answer["height"], answer["width"], 4)[..., :3].copy()
    device = Device(EdgeConfig(local_model="edgecnn", _env_file=None))
    # How finely the page searches hangs on how quick this machine is at the moment.
    boxes = tuple(Box(*face["box"]) for face in answer["faces"])
    expected, _ = device.local_answers(device.look(to_grey(rgb), boxes).tail_input)
    for one, face in zip(expected, answer["faces"], strict=True):
        shares = tuple(face["probabilities"][label] for label in LABELS)
        assert shares == pytest.approx(one.probabilities, abs=TOLERANCE)
        assert (face["model"], face["path"]) == (device.model, "local")
        # No head ran for an answer that needs none.
        assert face["latency_ms"]["head"] is None
        assert face["sent_bytes"] == 0
    words = "return document.getElementById('faces').textContent"
    wait_until(lambda: "lighter network" in page.driver.execute_script(words), "the page to say so")


def test_a_device_that_is_too_slow_takes_it_by_itself(browser: Page, server: CloudProcess) -> None:
    """Any is, of which a frame's answer is wanted in a fiftieth of a second."""
    page = browser
    open_edge(page, server)
    keep_worker(page)
    choose(page, wanted="local", own="auto")
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    set_deadline(page, 20)
    wait_until(lambda: by_lighter(page), "an answer of the lighter network")


def test_it_is_here_without_a_network(browser: Page, server: CloudProcess) -> None:
    page = browser
    open_edge(page, server)
    choose(page, wanted="cloud", own="lighter")
    start(page)
    wait_until(lambda: any(face["path"] == "cloud" for face in faces_since(page, 0)), "the server")
    in_cache = """
        return caches.open("edge-weights-by-hash").then((cache) => cache.keys())
          .then((keys) => keys.some(({ url }) => url.includes("/edgecnn.onnx")));
    """
    wait_until(lambda: page.driver.execute_script(in_cache), "it to be kept")
    stop(server)
    open_edge(page, server)  # from what the browser kept, the choice too
    start(page)
    wait_until(lambda: by_lighter(page), "an answer of the lighter network")
    assert {face["reason"] for face in by_lighter(page)} <= {"link_down", "breaker_open"}
