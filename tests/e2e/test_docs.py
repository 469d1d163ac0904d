"""Swagger UI at ``/docs`` in a real browser: all of it is from the server, and takes a token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import splitfer.shared.weights
from tests.e2e.test_page import ELSEWHERE, Page, needs_browser
from tests.integration.cloud_process import CloudProcess
from tests.processes import wait_until

TOKEN = "only-for-this-test"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    file = tmp_path_factory.mktemp("config") / "cloud.yaml"
    file.write_text(f"token: {TOKEN}\n")
    with CloudProcess(splitfer.shared.weights.default_folder(), "--config", str(file)) as server:
        yield server


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "profile", tmp_path / "no clip")
    yield page
    page.driver.quit()


def operations(server: CloudProcess) -> dict[tuple[str, str], dict[str, object]]:
    document = httpx.get(f"http://{server.http}/openapi.json", trust_env=False).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


@needs_browser
def test_every_operation_is_shown_and_can_be_asked_with_a_token(
    browser: Page, server: CloudProcess
) -> None:
    # Under this name, since Swagger UI asks a validator on the web about pages beyond localhost.
    address = f"{ELSEWHERE}:{server.http.split(':')[1]}"
    driver = browser.driver
    browser.open(address, path="docs")

    def shown() -> int:
        return int(driver.execute_script("return document.querySelectorAll('.opblock').length"))

    count = len(operations(server))
    wait_until(lambda: shown() == count, f"{count} operations")
    locks = driver.execute_script(
        "return document.querySelectorAll('.opblock .authorization__btn').length"
    )
    assert locks == sum("security" in operation for operation in operations(server).values())

    model = "#operations-default-model_v1_model_get"
    browser.find(f"{model} .opblock-summary-control").click()
    wait_until(lambda: driver.find_elements("css selector", f"{model} .try-out__btn"), "the model")
    browser.find(f"{model} .try-out__btn").click()
    for token, status in ((None, "401"), (TOKEN, "200")):
        if token is not None:
            browser.find(".auth-wrapper .authorize").click()
            browser.find(".auth-container input").send_keys(token)
            browser.find(".auth-btn-wrapper .authorize").click()
            browser.find(".auth-btn-wrapper .btn-done").click()
        browser.find(f"{model} .execute").click()
        wait_until(
            lambda status=status: [
                cell
                for cell in driver.find_elements(
                    "css selector", f"{model} .live-responses-table .response-col_status"
                )
                if cell.text.startswith(status)
            ],
            status,
        )
    assert driver.execute_script("return localStorage.length") == 0

    said = [entry["message"] for entry in browser.log("browser")]
    # The answer that was asked for, and a header that is for HTTPS and localhost.
    expected = ("status of 401", "The Cross-Origin-Opener-Policy header has been ignored")
    assert [line for line in said if not any(words in line for words in expected)] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in asked
        if message["method"] == "Network.requestWillBeSent"
    }
    assert f"http://{address}/page/swagger-ui-bundle.js" in urls
    # The browser's first tab is a page of its own.
    own = (f"http://{address}/", "data:", "chrome:", "chrome-untrusted:")
    assert [url for url in urls if not url.startswith(own)] == []


def test_the_document_says_which_routes_ask_for_a_token(server: CloudProcess) -> None:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False, timeout=60) as client:
        for (method, path), operation in operations(server).items():
            reply = client.request(
                method,
                path.format(name="full", version="1", fingerprint="0" * 16),
                json={"folder": "a", "fingerprint": "previous"},
            )
            assert (reply.status_code == 401) == ("security" in operation), (method, path)
            # Servers without tokens have the same document.
            assert operation.get("security", [{}])[-1] == {}


def test_scripts_come_from_the_server_alone(server: CloudProcess) -> None:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as client:
        policy = client.get("/docs").headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert client.get("/redoc").status_code == 404
        assert client.get("/docs/oauth2-redirect").status_code == 404
