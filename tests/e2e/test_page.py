"""The page at ``/`` in a real browser, against a real server."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

import splitfer.cloud_server
import splitfer.shared.weights
from splitfer.shared.labels import LABELS
from tests.clips import write_start_of_demo
from tests.integration.cloud_process import CloudProcess
from tests.processes import wait_until
from tests.unit.cloud_server.pictures.made_pictures import encoded

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-proxy-server", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip
# A name that is not localhost, so that the browser holds the page to be insecure.
ELSEWHERE = "page.test"
CLIP_FRAMES = 24
TOKEN = "only-for-this-test"

pytestmark = pytest.mark.timeout(300)

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no Chromium: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def server() -> Iterator[CloudProcess]:
    with CloudProcess(splitfer.shared.weights.default_folder()) as server:
        yield server


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One face."""
    file = tmp_path_factory.mktemp("pictures") / "a portrait.jpg"
    file.write_bytes(
        (
            Path(splitfer.cloud_server.__file__).parent / "rest_api" / "page" / "example.jpg"
        ).read_bytes()
    )
    return file


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start_of_demo(tmp_path_factory.mktemp("clip") / "clip.y4m", CLIP_FRAMES)


class Page:
    """A browser and what it shows."""

    def __init__(self, profile: Path, clip: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--use-file-for-fake-video-capture={clip}",
            f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
        ):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def open(self, address: str, width: int = 1280, path: str = "") -> None:
        self.log("browser"), self.log("performance")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get(f"http://{address}/{path}")
        self.driver.execute_script("sessionStorage.clear()")

    def log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def choose(self, file: Path) -> None:
        self.find("#file").send_keys(str(file))

    def wait_for(self, state: str) -> None:
        wait_until(lambda: self.find("body").get_attribute("data-state") == state, state)

    def bars(self) -> dict[str, str]:
        """Labels and shares of the first face, as they are read."""
        script = """
            const rows = document.querySelectorAll("#faces > li:first-child .bars li");
            return [...rows].map((row) => row.innerText.trim().split(/\\s+/).slice(0, 2));
        """
        return dict(self.driver.execute_script(script))

    def overflow_px(self) -> int:
        script = (
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return int(self.driver.execute_script(script))

    def boxed_pixels(self) -> int:
        """How many pixels of the canvas were drawn on."""
        script = """
            const canvas = document.getElementById("boxes");
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((value, place) => place % 4 === 3 && value > 0).length;
        """
        return int(self.driver.execute_script(script))


@pytest.fixture(scope="module")
def browser(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("profile"), clip)
    yield page
    page.driver.quit()


@pytest.fixture
def page(browser: Page, server: CloudProcess) -> Iterator[Page]:
    """The page; at the end it must have met no error and asked nobody but its server."""
    browser.open(server.http)
    yield browser
    assert browser.log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    urls = [
        message["params"]["request"]["url"]
        for message in asked
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.endswith("/page/page.js") for url in urls)
    own = (f"http://{server.http}/", f"blob:http://{server.http}/", "data:")
    assert [url for url in urls if not url.startswith(own)] == []


@needs_browser
def test_a_picture_gives_boxes_bars_times_and_bytes(
    page: Page, server: CloudProcess, picture: Path
) -> None:
    page.choose(picture)
    page.wait_for("shown")
    assert page.find("#status").text.startswith("1 face: ")
    assert tuple(page.bars()) == LABELS
    assert page.boxed_pixels() > 100
    assert page.find("#boxes").get_attribute("aria-label").startswith("1 face: ")
    assert page.find("#caption").text.startswith("a portrait.jpg · 424 \u00d7 318 · ")
    times, wire = page.find("#times").text, page.find("#wire").text
    for stage in ("On the way", "Finding faces", "From asking to the answer"):
        assert stage in times
    assert f"{picture.stat().st_size / 1000:.1f} kB" in wire

    assert not page.find("#body").is_displayed()
    page.find("#json summary").click()
    wait_until(lambda: page.find("#body").text, "the JSON")
    answer = json.loads(page.find("#body").text)
    assert answer["faces"][0]["label"] in page.find("#status").text

    page.find("#terminal summary").click()
    wait_until(lambda: page.find("#curl").text, "the command")
    assert page.find("#curl").text == (
        f"curl --data-binary @'a portrait.jpg' http://{server.http}/v1/faces"
    )


@needs_browser
def test_the_example_shows_one_face(page: Page) -> None:
    page.find("#example").click()
    page.wait_for("shown")
    assert page.find("#status").text.startswith("1 face: ")
    assert "NASA" in page.find("#caption").text


@needs_browser
@pytest.mark.parametrize("event", ["paste", "drop"])
def test_pasted_and_dropped_pictures(page: Page, picture: Path, event: str) -> None:
    script = """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "image.jpg", {type: "image/jpeg"}));
        const given = {bubbles: true, clipboardData: data, dataTransfer: data};
        const made = arguments[1] === "paste" ? ClipboardEvent : DragEvent;
        document.body.dispatchEvent(new made(arguments[1], given));
    """
    page.driver.execute_script(script, base64.b64encode(picture.read_bytes()).decode(), event)
    page.wait_for("shown")
    assert page.find("#caption").text.startswith("image.jpg")
    assert tuple(page.bars()) == LABELS


@needs_browser
def test_the_webcam_answers_until_it_is_stopped(page: Page) -> None:
    page.find("#webcam").click()
    page.wait_for("webcam")
    wait_until(lambda: tuple(page.bars()) == LABELS, "a face in a frame")
    wait_until(lambda: "Frames answered a second" in page.find("#wire").text, "a second frame")
    assert page.find("#video").is_displayed()
    assert page.find("#webcam").text == "Stop the webcam"
    page.find("#webcam").click()
    page.wait_for("shown")
    assert not page.find("#video").is_displayed()
    wait_until(page.find("#picture").is_displayed, "the last frame")
    assert page.driver.execute_script("return document.getElementById('video').srcObject") is None
    assert "@frame.jpg" in page.driver.execute_script(
        "document.getElementById('terminal').open = true;"
        "return new Promise((done) => setTimeout(() => done(curl.textContent), 50))"
    )


@needs_browser
def test_a_phone_has_nothing_to_scroll_sideways(page: Page, server: CloudProcess) -> None:
    page.open(server.http, width=320)
    assert page.overflow_px() == 0
    page.find("#example").click()
    page.wait_for("shown")
    for details in ("#json", "#terminal"):
        page.find(f"{details} summary").click()
    wait_until(lambda: page.find("#curl").text and page.find("#body").text, "what is behind it")
    assert page.overflow_px() == 0


@needs_browser
def test_the_keyboard_reaches_everything(page: Page) -> None:
    script = """
        const able = [...document.querySelectorAll("input, button, summary, a, pre, select")];
        const named = (e) => e.textContent.trim() || e.labels?.length || e.ariaLabel;
        return able.filter((e) => e.tabIndex < 0 || !named(e)).map((e) => e.outerHTML);
    """
    assert page.driver.execute_script(script) == []
    assert page.find("html").get_attribute("lang") == "en"


@needs_browser
def test_an_error_is_a_sentence(browser: Page, server: CloudProcess, tmp_path: Path) -> None:
    browser.open(server.http)
    file = tmp_path / "broken.jpg"
    file.write_bytes(encoded(np.zeros((50, 50, 3), np.uint8))[:300])
    browser.choose(file)
    wait_until(browser.find("#problem").is_displayed, "the problem")
    assert browser.find("#sentence").text == "This picture is damaged or cut short."
    assert "(422 bad_picture)" in browser.find("#detail").text
    assert not browser.find("#answer").is_displayed()
    browser.find("#example").click()  # and the next picture takes it away
    wait_until(lambda: browser.bars(), "the next answer")
    assert not browser.find("#problem").is_displayed()


@needs_browser
def test_a_token_is_asked_for_and_kept_in_the_tab_alone(browser: Page, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yaml"
    file.write_text(f"token: {TOKEN}\n")
    with CloudProcess(splitfer.shared.weights.default_folder(), "--config", str(file)) as server:
        browser.open(server.http)
        browser.find("#example").click()
        wait_until(browser.find("#token").is_displayed, "the field of the token")
        assert browser.find("#sentence").text == "This server asks for a token."
        browser.find("#token").send_keys("wrong\n")
        wait_until(lambda: "not know this token" in browser.find("#sentence").text, "a refusal")
        browser.find("#token").send_keys(f"{TOKEN}\n")
        wait_until(lambda: browser.bars(), "the answer")
        assert not browser.find("#ask-token").is_displayed()
        browser.find("#terminal summary").click()
        wait_until(lambda: "$TOKEN" in browser.find("#curl").text, "the command")
        assert TOKEN not in browser.driver.page_source
        assert browser.driver.execute_script("return localStorage.length") == 0


@needs_browser
def test_a_server_that_is_gone_is_told_of_by_every_button(browser: Page) -> None:
    with CloudProcess(splitfer.shared.weights.default_folder()) as server:
        browser.open(server.http)
    browser.find("#example").click()
    wait_until(lambda: "could not be loaded" in browser.find("#problem").text, "a sentence")


def test_a_webcam_that_comes_after_a_picture_was_chosen_is_let_go(
    page: Page, picture: Path
) -> None:
    page.driver.execute_script("""
        const devices = navigator.mediaDevices;
        const real = devices.getUserMedia.bind(devices);
        window.granted = new Promise((done) => (window.grant = done));
        devices.getUserMedia = async (wish) => {
          await granted;
          return (window.stream = await real(wish));
        };
    """)
    page.find("#webcam").click()
    page.choose(picture)
    page.wait_for("shown")
    page.driver.execute_script("grant()")
    state = "return window.stream?.getTracks().map((track) => track.readyState).join()"
    wait_until(lambda: page.driver.execute_script(state) == "ended", "the webcam to be off")
    assert page.find("body").get_attribute("data-state") == "shown"


def test_without_https_it_says_what_a_webcam_needs(browser: Page, server: CloudProcess) -> None:
    port = server.http.split(":")[1]
    browser.open(f"{ELSEWHERE}:{port}")
    assert not browser.find("#webcam").is_enabled()
    assert browser.find("#insecure").text.startswith("A webcam needs HTTPS or localhost")
    browser.find("#example").click()  # the rest works
    wait_until(lambda: browser.bars(), "the answer")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_headers(server: CloudProcess, method: str) -> None:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
        reply = client.request(method, "/")
        assert reply.status_code == 200
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        known = {"If-None-Match": reply.headers["etag"]}
        assert client.request(method, "/", headers=known).status_code == 304
        assert client.get("/page/../page.py").status_code == 404
