"""The browser's edge as tests drive it: open, start, and what it answered."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.browser.node import EDGE
from tests.e2e.test_page import Page
from tests.integration.cloud_process import CloudProcess
from tests.processes import wait_until

needs_edge = pytest.mark.skipif(
    not (EDGE / "built").is_dir(), reason="no files of the browser edge: make web"
)
RECORD = """
    window.seen = [];
    addEventListener("answer", ({ detail: { picture, ...answer } }) => {
      seen.push(JSON.parse(JSON.stringify(answer)));
      if (!window.kept && answer.faces.length && answer.faces[0].latency_ms.detect !== null) {
        const { width, height } = picture;
        const { data } = picture.getContext("2d").getImageData(0, 0, width, height);
        let text = "";
        for (let at = 0; at < data.length; at += 8192) {
          text += String.fromCharCode(...data.subarray(at, at + 8192));
        }
        window.kept = { answer: seen.at(-1), rgba: btoa(text) };
      }
    });
"""


def open_edge(page: Page, server: CloudProcess, width: int = 390) -> None:
    page.open(server.http, width=width, path="edge")
    page.driver.execute_script(RECORD)


def keep_worker(page: Page) -> None:
    """Before the start: `part` is the page's worker, once it is there."""
    page.driver.execute_script("""
        const Real = window.Worker;
        window.Worker = class extends Real {
          constructor(...all) { super(...all); window.part = this; }
        };
    """)


def set_deadline(page: Page, deadline_ms: int) -> None:
    """Of the frames from now on, where the worker was kept."""
    script = "part.postMessage({ type: 'settings', deadlineMs: arguments[0] })"
    page.driver.execute_script(script, deadline_ms)


def start(page: Page) -> None:
    page.find("#start").click()
    page.wait_for("running")


def stop(server: CloudProcess) -> None:
    server.signal(signal.SIGKILL)
    server.exit_code()


def faces_since(page: Page, frame: int) -> list[dict[str, Any]]:
    script = "return seen.filter((one) => one.id > arguments[0]).flatMap((one) => one.faces)"
    return list(page.driver.execute_script(script, frame))


def last_frame(page: Page) -> int:
    return int(page.driver.execute_script("return seen.at(-1)?.id ?? 0"))


def wait_for_path(page: Page, path: str, what: str, frame: int = 0) -> None:
    wait_until(lambda: path in {face["path"] for face in faces_since(page, frame)}, what)


def assert_each_face_has_one_answer(page: Page) -> None:
    """Every face that was found has exactly one answer."""
    script = "return [seen.at(-1).counts, seen.reduce((sum, one) => sum + one.faces.length, 0)]"
    counts, faces = page.driver.execute_script(script)
    assert counts["found"] == counts["answered"] == counts["cloud"] + counts["local"] == faces > 0
    assert counts["failed"] == 0
