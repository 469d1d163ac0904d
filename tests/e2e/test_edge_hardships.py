"""The edge's page where the device withholds something: storage, a steady clock, camera, room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

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
FORGET = """
    const done = arguments[0];
    caches.keys().then((names) => Promise.all(names.map((name) => caches.delete(name))))
      .then(() => navigator.serviceWorker.getRegistrations())
      .then((all) => Promise.all(all.map((one) => one.unregister()))).then(() => done());
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
    return browser


def focused(page: Page) -> str:
    return str(page.driver.execute_script("return document.activeElement.id"))


def size(page: Page, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.parametrize("installed", [False, True], ids=["first start", "weights gone"])
def test_a_device_that_is_full_still_answers(
    page: Page, server: CloudProcess, installed: bool
) -> None:
    if installed:
        start(page)
        page.driver.execute_async_script(
            "const done = arguments[0]; caches.delete('edge-weights-by-hash').then(() => done())"
        )
    else:
        page.driver.execute_async_script(FORGET)
    quota: dict[str, Any] = {"origin": f"http://{server.http}"}
    page.driver.execute_cdp_cmd("Storage.overrideQuotaForOrigin", {**quota, "quotaSize": 1000})
    try:
        open_edge(page, server)
        start(page)
        wait_for_path(page, "cloud", "an answer of the server")
    finally:
        page.driver.execute_cdp_cmd("Storage.overrideQuotaForOrigin", quota)


def test_a_choice_counts_where_nothing_can_be_kept(page: Page) -> None:
    page.driver.execute_script("""
        Storage.prototype.setItem = () => { throw new DOMException("", "QuotaExceededError"); };
    """)
    start(page)
    page.find("#wanted").send_keys("this device alone")
    # Where the server was to answer, one of this device has a reason.
    wait_until(
        lambda: ("local", None) in {(one["path"], one["reason"]) for one in faces_since(page, 0)},
        "an answer of the device, as chosen",
    )


def test_a_clock_that_is_set_makes_no_frame_late(page: Page) -> None:
    """Of an hour, between the page's start and the camera's."""
    page.driver.execute_script("""
        const at = performance.timeOrigin - 3_600_000;
        Object.defineProperty(performance, "timeOrigin", { value: at });
    """)
    start(page)
    wait_for_path(page, "cloud", "an answer of the server")
    assert max(face["latency_ms"]["total"] for face in faces_since(page, 0)) < 60_000


def test_a_camera_that_a_call_takes_is_not_answered_of(page: Page) -> None:
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    page.driver.execute_script("""
        window.track = video.srcObject.getVideoTracks()[0];
        Object.defineProperty(track, "muted", { value: true, configurable: true });
    """)
    wait_until(lambda: "gives no picture" in page.find("#problem").text, "a sentence")
    frame = last_frame(page)
    page.driver.execute_script("""
        Object.defineProperty(track, "muted", { value: false });
        track.dispatchEvent(new Event("unmute"));
    """)
    wait_until(lambda: faces_since(page, frame), "faces again")
    assert not page.find("#problem").is_displayed()


def test_a_video_that_was_paused_while_the_page_was_away_goes_on(page: Page) -> None:
    start(page)
    page.driver.execute_script("video.pause()")
    paused = "return video.paused"
    wait_until(lambda: not page.driver.execute_script(paused), "the camera's picture to move")


def test_a_camera_that_is_refused_and_then_allowed(page: Page) -> None:
    page.driver.execute_script("""
        const devices = navigator.mediaDevices;
        const real = devices.getUserMedia.bind(devices);
        devices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); };
        window.allow = () => (devices.getUserMedia = real);
    """)
    page.find("#start").click()
    wait_until(lambda: "not allowed" in page.find("#problem").text, "a sentence")
    assert page.find("#start").text == "Start the camera"
    page.driver.execute_script("allow()")
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    assert not page.find("#problem").is_displayed()


def test_the_keyboard_alone(page: Page) -> None:
    def tab() -> str:
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        return focused(page)

    assert [tab(), tab()] == ["start", "wanted"]
    page.driver.execute_script("start.focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait_for("running")
    assert focused(page) == "start"
    wait_until(lambda: faces_since(page, 0), "faces")  # "Save the answers" is there
    order = [tab() for _ in range(4)]
    assert order == ["turn", "wanted", "own", "save"]
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.driver.execute_script(outline) == "solid"
    # What stops the camera takes the button that has the focus away.
    page.driver.execute_script("turn.focus(); start.click()")
    assert focused(page) == "start"


def test_a_page_of_an_older_version_is_loaded_again_before_it_starts(
    page: Page, server: CloudProcess
) -> None:
    """Its worker would be of the newer one; a running page goes on with the worker that it has."""
    start(page)  # the service worker is here
    open_edge(page, server)
    other = "navigator.serviceWorker.dispatchEvent(new Event('controllerchange'))"
    again = "return !window.seen && document.readyState === 'complete'"
    page.driver.execute_script(other)
    wait_until(lambda: page.driver.execute_script(again), "the page to be loaded again")
    open_edge(page, server)
    start(page)
    page.driver.execute_script(other)
    frame = last_frame(page)
    wait_until(lambda: faces_since(page, frame), "faces")


def test_escape_closes_what_opened(page: Page) -> None:
    page.driver.execute_script("""
        document.getElementById("ask-token").hidden = problem.hidden = false;
        token.focus();
    """)
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find("#ask-token").is_displayed()
    assert not page.find("#problem").is_displayed()
    assert focused(page) == "start"


def test_a_phone_that_lies_shows_the_camera_beside_its_answer(page: Page) -> None:
    size(page, 844, 390)
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    script = """
        scrollTo(0, 0);
        return ["#shown", "#start", "#status", "#faces .bars"].map((one) => {
          const { top, bottom } = document.querySelector(one)?.getBoundingClientRect() ?? {};
          return bottom > top && top >= 0 && bottom <= innerHeight;
        });
    """
    wait_until(lambda: page.driver.execute_script(script) == [True] * 4, "all of it in sight")
    assert page.overflow_px() == 0


def test_text_of_twice_the_size_fits(page: Page) -> None:
    size(page, 390, 844)
    page.driver.execute_script("document.documentElement.style.fontSize = '200%'")
    start(page)
    wait_until(lambda: faces_since(page, 0), "faces")
    assert page.overflow_px() == 0
