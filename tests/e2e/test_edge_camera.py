"""What people do to a camera while the edge's page has it: turn the phone, unplug it, change their
mind, come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.support.ui import Select

from splitfer.shared.weights import default_folder
from tests.clips import write_start_of_demo
from tests.e2e.edge_page import (
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

# Each track of a camera that a page was given, and cameras that come once the test says so.
OWN_CAMERA = """
    const devices = navigator.mediaDevices;
    const real = devices.getUserMedia.bind(devices);
    window.tracks = [];
    window.asked = 0;
    window.granted = Promise.resolve();
    devices.getUserMedia = async (wish) => {
      asked++;
      await granted;
      const stream = await real(wish);
      tracks.push(...stream.getTracks());
      return stream;
    };
"""
HELD_BACK = "window.granted = new Promise((done) => (window.grant = done))"
LIVE = "return tracks.filter((track) => track.readyState === 'live').length"
# A camera whose picture is as wide or as high as the test says.
TURNED = """
    const picture = document.createElement("canvas");
    window.turnTo = (width, height) => Object.assign(picture, { width, height });
    turnTo(320, 240);
    const pen = picture.getContext("2d");
    setInterval(() => {
      pen.fillStyle = `hsl(${performance.now() % 360} 50% 50%)`;
      pen.fillRect(0, 0, picture.width, picture.height);
    }, 30);
    navigator.mediaDevices.getUserMedia = async () => picture.captureStream(20);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    clip = write_start_of_demo(tmp_path_factory.mktemp("clip") / "clip.y4m", 40)
    page = Page(tmp_path_factory.mktemp("profile"), clip)
    yield page
    page.driver.quit()


@pytest.fixture(scope="module")
def server() -> Iterator[CloudProcess]:
    with CloudProcess(default_folder()) as server:
        yield server


@pytest.fixture
def page(browser: Page, server: CloudProcess) -> Page:
    open_edge(browser, server)
    browser.driver.execute_script(OWN_CAMERA)
    return browser


def test_a_phone_that_is_turned_does_not_squeeze_its_faces(
    browser: Page, server: CloudProcess
) -> None:
    page = browser
    open_edge(page, server)
    page.driver.execute_script(TURNED)
    start(page)
    size = "const one = seen.at(-1); return one && [one.width, one.height]"
    wait_until(lambda: page.driver.execute_script(size) == [320, 240], "a frame that lies")
    page.driver.execute_script("turnTo(240, 320)")
    wait_until(lambda: page.driver.execute_script(size) == [240, 320], "a frame that stands")


def test_a_camera_that_comes_after_stop_is_let_go(page: Page) -> None:
    page.driver.execute_script(HELD_BACK)
    page.find("#start").click()
    wait_until(lambda: page.driver.execute_script("return asked") == 1, "the question")
    assert "Waiting for the camera" in page.find("#loading").text
    page.find("#start").click()
    page.wait_for("stopped")
    page.driver.execute_script("grant()")
    wait_until(lambda: page.driver.execute_script("return tracks.length"), "the camera")
    wait_until(lambda: page.driver.execute_script(LIVE) == 0, "the camera to be off")
    assert page.find("body").get_attribute("data-state") == "stopped"


def test_turning_to_the_other_camera_twice_leaves_one_on(page: Page) -> None:
    start(page)
    page.driver.execute_script(HELD_BACK)
    page.find("#turn").click()
    page.find("#turn").click()
    page.driver.execute_script("grant()")
    wait_until(lambda: page.driver.execute_script("return tracks.length") == 3, "the cameras")
    wait_until(lambda: page.driver.execute_script(LIVE) == 1, "one of them")
    frame = last_frame(page)
    wait_until(lambda: faces_since(page, frame), "faces of it")
    page.find("#start").click()
    assert page.driver.execute_script(LIVE) == 0


def test_a_camera_that_is_unplugged_is_told(page: Page) -> None:
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    page.driver.execute_script("tracks[0].stop(); tracks[0].dispatchEvent(new Event('ended'))")
    page.wait_for("stopped")
    wait_until(lambda: "camera went away" in page.find("#problem").text, "a sentence")
    start(page)
    frame = last_frame(page)
    wait_until(lambda: faces_since(page, frame), "faces again")
    assert not page.find("#problem").is_displayed()


def test_a_part_that_breaks_off_is_told_and_can_be_started_again(page: Page) -> None:
    page.driver.execute_script("""
        const Real = window.Worker;
        window.Worker = class extends Real {
          constructor(...all) { super(...all); window.part = this; }
        };
    """)
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    page.driver.execute_script("part.dispatchEvent(new ErrorEvent('error', {message: 'gone'}))")
    wait_until(lambda: "broke off" in page.find("#problem").text, "a sentence")
    assert page.driver.execute_script(LIVE) == 0
    start(page)
    frame = last_frame(page)
    wait_until(lambda: faces_since(page, frame), "faces again")


def test_who_wants_nothing_sent_is_asked_once(page: Page, server: CloudProcess) -> None:
    Select(page.find("#wanted")).select_by_value("local")
    open_edge(page, server)
    start(page)
    wait_for_path(page, "local", "an answer of the device")
    assert {face["sent_bytes"] for face in faces_since(page, 0)} == {0}
    Select(page.find("#wanted")).select_by_value("cloud")


def test_a_forced_reload_waits_for_nothing(page: Page) -> None:
    start(page)  # the service worker is here
    page.driver.execute_cdp_cmd("Page.reload", {"ignoreCache": True})
    controller = "return document.readyState === 'complete' && !navigator.serviceWorker.controller"
    wait_until(lambda: page.driver.execute_script(controller), "a page past the service worker")
    start(page)
    waited_ms = page.driver.execute_script("return performance.now()")
    assert waited_ms < 30_000  # not as long as a service worker that does not come is waited for
