"""The edge in a browser whose network goes, comes back and is slow, as the browser emulates it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from splitfer.shared.weights import default_folder
from tests.clips import write_start_of_demo
from tests.devtools import DevTools
from tests.e2e.edge_page import (
    assert_each_face_has_one_answer,
    faces_since,
    last_frame,
    needs_edge,
    open_edge,
    start,
    wait_for_path,
)
from tests.e2e.test_page import Page, needs_browser
from tests.integration.cloud_process import CloudProcess
from tests.processes import wait_until

pytestmark = [pytest.mark.timeout(300), needs_browser, needs_edge]
SETTLED_FACES = 12


@pytest.fixture(scope="module")
def better_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default weights, whose manifest says that the server's tail is the better one."""
    folder = tmp_path_factory.mktemp("weights") / "better"
    shutil.copytree(default_folder(), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for answers in manifest["tails"]["local"]["answers"].values():
        answers["log_loss"] = dict.fromkeys(answers["log_loss"], 1.5)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def page(better_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    clip = write_start_of_demo(tmp_path_factory.mktemp("clip") / "clip.y4m", 40)
    page = Page(tmp_path_factory.mktemp("profile"), clip)
    with CloudProcess(better_server) as server:
        open_edge(page, server)
        start(page)
        wait_for_path(page, "cloud", "an answer of the server")
        yield page
    page.driver.quit()


@pytest.fixture
def devtools(page: Page) -> Iterator[DevTools]:
    address = page.driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
    with DevTools(address, page.driver.current_url) as devtools:
        devtools.wait_for_worker()
        yield devtools


def paths_from_now(page: Page, frames: int) -> set[str]:
    """The paths of the next ``frames`` frames with a face."""
    frame = last_frame(page)
    wait_until(lambda: len(faces_since(page, frame)) >= frames, "the next faces")
    return {face["path"] for face in faces_since(page, frame)}


def test_flight_mode(page: Page, devtools: DevTools) -> None:
    check_flight_mode(page, lambda on: devtools.network(offline=on))


def check_flight_mode(page: Page, offline: Callable[[bool], None]) -> None:
    """Of a page that its server answers; ``offline`` takes its network, and gives it back."""
    frame = last_frame(page)
    offline(True)
    wait_for_path(page, "local", "an answer of the device", frame)
    wait_until(lambda: page.find("#link-word").text == "no server", "the page to say so")
    assert paths_from_now(page, 5) == {"local"}
    reasons = {face["reason"] for face in faces_since(page, frame) if face["path"] == "local"}
    assert reasons <= {"link_down", "breaker_open", "deadline"}

    frame = last_frame(page)
    back_ms = page.driver.execute_script("return performance.now()")
    offline(False)
    wait_for_path(page, "cloud", "an answer of the server", frame)
    assert page.driver.execute_script("return performance.now()") - back_ms < 5000
    assert_each_face_has_one_answer(page)


def test_a_slow_link_loses_no_face(page: Page, devtools: DevTools) -> None:
    """Which way is the better one here depends on how busy the machine is; that the page chooses
    as Python does from the same times is tested with the times given (tests/browser)."""
    page.find("#wanted").send_keys("whichever")
    devtools.network(latency_ms=200, bytes_per_s=20_000)
    devtools.forget()
    wait_until(lambda: len(devtools.calls_ms()) >= 2, "calls on the slow link")
    frame = last_frame(page)
    wait_until(lambda: len(faces_since(page, frame)) >= 4 * SETTLED_FACES, "answers on it")
    assert_each_face_has_one_answer(page)
