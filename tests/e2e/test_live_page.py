"""`edge-client run --view` in a real browser."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

import splitfer.shared.weights
from splitfer.shared.labels import LABELS
from tests.chromium import Browser, needs_browser
from tests.processes import Edge, free_port, wait_until

pytestmark = pytest.mark.timeout(300)

TOKEN = "only-for-this-test"
# The loopback's other addresses are this machine's as well, so no test needs a network.
ELSEWHERE = "0.0.0.0"


class Viewed(Edge):
    """A run over the demo with its page."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", **variables: str) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        super().__init__(
            folder,
            splitfer.shared.weights.default_folder(),
            "--realtime",
            "--view",
            "--listen",
            f"{host}:{port}",
            "--source-name",
            "door",
            "--device-id",
            "hall",
            source="demo*99",
            variables=variables,
        )
        wait_until(self._listens, "the page")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            return self.get("/healthz").json()["health"] != "starting"
        except httpx.TransportError:
            return False

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.address + path, headers=headers, trust_env=False, timeout=30)

    def post(self, body: Any, **headers: str) -> httpx.Response:
        data = body if isinstance(body, str) else json.dumps(body)
        headers = {"Content-Type": "application/json", **headers}
        url = self.address + "/control"
        return httpx.post(url, content=data, headers=headers, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    with Viewed(tmp_path_factory.mktemp("run")) as viewed:
        yield viewed


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with closing(Browser(tmp_path_factory.mktemp("profile"))) as browser:
        yield browser


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_picture_boxes_bars_and_graphs(
    viewed: Viewed, browser: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.asked()
    browser.open(viewed.address, width, dark)
    wait_until(lambda: browser.texts("#faces h3"), "a face")
    bars = [text.split("\n")[0] for text in browser.texts("#faces > li:first-child .bars li")]
    assert tuple(bars) == LABELS
    assert "local" in browser.texts("#faces h3")[0]
    wait_until(lambda: browser.colours("#picture") > 1000, "the picture")
    wait_until(lambda: browser.colours("#latency-graph") > 3, "a graph")
    assert browser.find("#name").text == "hall · door"
    assert browser.find("#health").text == "working"
    assert "none is set" in browser.find("#link").text
    assert browser.overflow_px() == 0
    assert browser.log() == []
    asked = [url for url in browser.asked() if not url.startswith(("chrome", "data:"))]
    assert [url for url in asked if not url.startswith(viewed.address + "/")] == []
    # To be looked at: LIVE_PAGE_SCREENSHOTS names a folder for them.
    if folder := os.environ.get("LIVE_PAGE_SCREENSHOTS"):
        browser.driver.save_screenshot(f"{folder}/{width}-{'dark' if dark else 'light'}.png")


@needs_browser
def test_the_pause_button_pauses(viewed: Viewed, browser: Browser) -> None:
    browser.open(viewed.address)
    wait_until(lambda: browser.find("#pause").is_displayed(), "the button")
    browser.find("#pause").click()
    wait_until(lambda: browser.find("#health").text == "paused", "the pause")
    # What was seen last is no longer shown as if it were now.
    wait_until(lambda: browser.colours("#picture") == 1, "an empty picture")
    wait_until(lambda: browser.texts("#faces h3") == [], "nobody")
    assert not browser.find("#lost").is_displayed()
    assert viewed.get("/healthz").json()["health"] == "paused"
    browser.find("#pause").click()
    wait_until(lambda: browser.texts("#faces h3"), "a face again")


@needs_browser
def test_a_device_that_is_gone_is_not_shown_as_working(browser: Browser, tmp_path: Path) -> None:
    with Viewed(tmp_path) as viewed:
        browser.open(viewed.address)
        wait_until(lambda: browser.find("#health").text == "working", "the page")
    wait_until(browser.find("#lost").is_displayed, "the page to say so")
    assert browser.find("#health").text == "no connection"
    assert not browser.find("#pause").is_displayed()
    assert browser.find("main").value_of_css_property("opacity") != "1"
    browser.open("about:blank")
    browser.log()  # what could not be reached is no fault of the tests after this one


def test_health_and_metrics(viewed: Viewed) -> None:
    health = viewed.get("/healthz")
    assert health.status_code == 200
    books = health.json()["books"]
    assert books["captured"] - books["answered"] - books["dropped"] - books["lost"] in (0, 1, 2)
    metrics = viewed.get("/metrics").text
    assert 'splitfer_edge_health{state="ok"} 1.0' in metrics
    assert 'splitfer_edge_latency_seconds_count{path="local"}' in metrics


def test_another_sites_page_cannot_ask(viewed: Viewed) -> None:
    assert viewed.get("/live", Host="evil.example").status_code == 403
    assert viewed.get("/live", Host="localhost:1").status_code == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert viewed.post({"paused": True}, **form).status_code == 415
    assert viewed.get("/healthz").json()["health"] == "ok"


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"paused": 1}', '{"policy": "x"}', '{"x": 1}', "[" * 900]
)
def test_nonsense_controls_nothing(viewed: Viewed, body: str) -> None:
    reply = viewed.post(body)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert viewed.post("x" * 2000).status_code == 413


@pytest.mark.parametrize("path", ["/page/../server.py", "/page/", "/nothing", "/live/"])
def test_there_is_nothing_else(viewed: Viewed, path: str) -> None:
    assert viewed.get(path).status_code == 404


def test_the_headers(viewed: Viewed) -> None:
    headers = viewed.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@needs_browser
def test_elsewhere_it_wants_its_token(browser: Browser, tmp_path: Path) -> None:
    with Viewed(tmp_path, ELSEWHERE, SPLITFER_EDGE_LISTEN_TOKEN=TOKEN) as viewed:
        for path in ("/live", "/metrics"):
            assert viewed.get(path).status_code == 401
            assert viewed.get(path, Authorization="Bearer wrong").status_code == 401
            assert viewed.get(path, Authorization=f"Bearer {TOKEN}").status_code == 200
        assert viewed.post({"paused": True}).status_code == 401
        assert viewed.get("/healthz").json() == {"health": "ok"}
        browser.open(viewed.address)
        wait_until(lambda: browser.find("#token").is_displayed(), "the field")
        browser.find("#token").send_keys("wrong\n")
        wait_until(lambda: "not known" in browser.find("#health").text, "the refusal")
        browser.find("#token").send_keys(f"{TOKEN}\n")
        wait_until(lambda: browser.texts("#faces h3"), "a face")
        assert TOKEN not in viewed.log()
        browser.log()
        # And one in the address is taken off it.
        browser.driver.execute_script("sessionStorage.clear()")
        browser.open("about:blank")
        browser.open(f"{viewed.address}/#token={TOKEN}")
        wait_until(lambda: browser.texts("#faces h3"), "a face")
        assert TOKEN not in browser.driver.current_url


def test_without_a_token_elsewhere_one_is_made_and_said(tmp_path: Path) -> None:
    with Viewed(tmp_path, ELSEWHERE) as viewed:
        token = viewed.log().partition("#token=")[2].split()[0]
        assert len(token) > 15
        assert viewed.get("/live").status_code == 401
        assert viewed.get("/live", Authorization=f"Bearer {token}").status_code == 200
        viewed.signal(signal.SIGTERM)
        assert viewed.finish()[0] == 130


def test_a_port_that_is_taken_is_named(viewed: Viewed, tmp_path: Path) -> None:
    port = viewed.address.rpartition(":")[2]
    flags = ("--view", "--listen", f"127.0.0.1:{port}")
    with Edge(tmp_path, splitfer.shared.weights.default_folder(), *flags) as edge:
        wait_until(lambda: "cannot listen there" in edge.log(), "the refusal")
        wait_until(lambda: edge._process.poll() == 2, "the exit code")
