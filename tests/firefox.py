"""Headless Firefox, spoken to by WebDriver BiDi, which it has of its own: no driver is needed."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

import splitfer.cloud_server
from tests.processes import wait_until

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PATIENCE_S = 60.0
# It asks nobody but the tests' own servers, and its camera asks nobody.
_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
}
# A camera of Firefox's own shows no face: what it would give is a canvas with a picture.
_CAMERA = """() => {
    if (!navigator.mediaDevices) return;
    navigator.mediaDevices.getUserMedia = async () => {
      const image = new Image();
      const bytes = Uint8Array.from(atob("JPEG"), (letter) => letter.charCodeAt(0));
      image.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const pen = canvas.getContext("2d");
      setInterval(() => pen.drawImage(image, 0, 0), 50);
      return canvas.captureStream(20);
    };
}"""

_PICTURE = Path(splitfer.cloud_server.__file__).parent / "rest_api" / "page" / "example.jpg"

needs_firefox = pytest.mark.skipif(
    FIREFOX is None, reason="no Firefox: apt-get install firefox-esr"
)


class FirefoxPage:
    """A tab, with what the tests use of Selenium's."""

    def __init__(self, profile: Path) -> None:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in _PREFERENCES.items()
        ]
        (profile / "user.js").write_text("\n".join(lines) + "\n")
        command = [str(FIREFOX), "--headless", "--no-remote", "--profile", str(profile)]
        self._process = subprocess.Popen(
            [*command, "--remote-debugging-port", "0"], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if said := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                break
        else:
            raise AssertionError("Firefox did not start")
        self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
        self._reader.start()
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            connect(f"{said[1]}/session", max_size=None, proxy=None)
        )
        self._sent = 0
        self.ask("session.new", {"capabilities": {}})
        (self._tab,) = [
            one["context"] for one in self.ask("browsingContext.getTree", {})["contexts"]
        ]
        picture = base64.b64encode(_PICTURE.read_bytes()).decode()
        camera = _CAMERA.replace("JPEG", picture)
        self.ask("script.addPreloadScript", {"functionDeclaration": camera})
        self.driver = self

    def ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The result of one command."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(PATIENCE_S))
            if message.get("id") == self._sent:
                break
        assert message["type"] == "success", (method, message)
        result: dict[str, Any] = message["result"]
        return result

    def open(self, address: str, width: int = 390, path: str = "") -> None:
        viewport = {"width": width, "height": 800}
        self.ask("browsingContext.setViewport", {"context": self._tab, "viewport": viewport})
        where = {"context": self._tab, "url": f"http://{address}/{path}", "wait": "complete"}
        self.ask("browsingContext.navigate", where)

    def execute_script(self, script: str, *arguments: Any) -> Any:
        """What the body of a function gives, which may be a promise."""
        given = json.dumps(list(arguments))
        body = f"async () => JSON.stringify(await (async function () {{ {script} }}).apply(null, "
        reply = self.ask(
            "script.callFunction",
            {
                "functionDeclaration": f"{body}{given}) ?? null)",
                "awaitPromise": True,
                "target": {"context": self._tab},
            },
        )
        assert reply["type"] == "success", reply
        return json.loads(reply["result"]["value"])

    def find(self, selector: str) -> _Element:
        return _Element(self, selector)

    def wait_for(self, state: str) -> None:
        wait_until(lambda: self.find("body").get_attribute("data-state") == state, state)

    def offline(self, on: bool) -> None:
        conditions = {"type": "offline"} if on else None
        self.ask(
            "emulation.setNetworkConditions",
            {"networkConditions": conditions, "contexts": [self._tab]},
        )

    def quit(self) -> None:
        self._open.close()
        self._process.kill()
        self._process.wait()
        self._reader.join(PATIENCE_S)
        assert self._process.stderr is not None
        self._process.stderr.close()


class _Element:
    def __init__(self, page: FirefoxPage, selector: str) -> None:
        self._page, self._selector = page, selector

    def _give(self, expression: str) -> Any:
        script = f"const one = document.querySelector(arguments[0]); return {expression}"
        return self._page.execute_script(script, self._selector)

    @property
    def text(self) -> str:
        return str(self._give("one.innerText"))

    def get_attribute(self, name: str) -> Any:
        return self._give(f"one.getAttribute({json.dumps(name)})")

    def click(self) -> None:
        self._give("one.click()")
