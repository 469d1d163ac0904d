"""Chromium's DevTools protocol, spoken to a page and to its workers.

ChromeDriver's own commands reach the page alone: it hears nothing of what a worker asks for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from typing import Any, Self

import httpx
from websockets.sync.client import connect

from tests.processes import wait_until

PATIENCE_S = 30.0


class DevTools:
    """A page, the workers that it has, and those that it starts. ``address``: the browser's."""

    def __init__(self, address: str, page_url: str) -> None:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            browser = client.get("/json/version").json()
            pages = [one for one in client.get("/json").json() if one["type"] == "page"]
        (page,) = [one["id"] for one in pages if one["url"] == page_url]
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(
            connect(browser["webSocketDebuggerUrl"], max_size=None, proxy=None)
        )
        self._news = threading.Condition()
        self._replies: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._sent = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        attached = self.ask("Target.attachToTarget", {"targetId": page, "flatten": True})
        # Sessions, and what kind of target each is.
        self.sessions = {attached["sessionId"]: "page"}
        follow = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
        self.ask("Target.setAutoAttach", follow, attached["sessionId"])

    def _read(self) -> None:
        for text in self._socket:
            message = json.loads(text)
            with self._news:
                if "id" in message:
                    self._replies[message["id"]] = message
                else:
                    self._events.append(message)
                self._news.notify_all()

    def ask(
        self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """The result of one command."""
        self._sent += 1
        number = self._sent
        message = {"id": number, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        with self._news:
            assert self._news.wait_for(lambda: number in self._replies, PATIENCE_S), method
            reply = self._replies.pop(number)
        assert "error" not in reply, (method, reply)
        result: dict[str, Any] = reply["result"]
        return result

    def events(self, method: str) -> list[dict[str, Any]]:
        """Those that came so far, the oldest first."""
        with self._news:
            return [one["params"] for one in self._events if one["method"] == method]

    def forget(self) -> None:
        """The events so far."""
        with self._news:
            self._events.clear()

    def calls_ms(self) -> list[float]:
        """What calls with latents took that were answered, by POST and by WebSocket."""
        begun: dict[tuple[str, int], float] = {}
        ended: dict[tuple[str, int], float] = {}
        for one in self.events("Network.requestWillBeSent"):
            if one["request"]["url"].endswith("/v1/latents"):
                begun[one["requestId"], 0] = one["timestamp"]
        for one in self.events("Network.loadingFinished"):
            ended[one["requestId"], 0] = one["timestamp"]
        for one in self.events("Network.webSocketFrameSent"):
            data = base64.b64decode(one["response"]["payloadData"])
            begun[one["requestId"], int.from_bytes(data[:4], "big")] = one["timestamp"]
        for one in self.events("Network.webSocketFrameReceived"):
            number = json.loads(one["response"]["payloadData"])["id"]
            ended[one["requestId"], number] = one["timestamp"]
        return [1000 * (ended[call] - begun[call]) for call in begun.keys() & ended.keys()]

    def wait_for_worker(self) -> None:
        """Until there is one, and it can be asked."""

        def attached() -> bool:
            for event in self.events("Target.attachedToTarget"):
                self.sessions.setdefault(event["sessionId"], event["targetInfo"]["type"])
            return "worker" in self.sessions.values()

        wait_until(attached, "the page's worker")
        for session in self.sessions:
            self.ask("Network.enable", session=session)

    def network(
        self, latency_ms: float = 0, bytes_per_s: float = -1, offline: bool = False
    ) -> None:
        """The network of the page, and of the workers that it has of its own, from now on; -1: as
        fast as it is. A service worker has one of its own, too."""
        conditions = {
            "offline": offline,
            "latency": latency_ms,
            "downloadThroughput": bytes_per_s,
            "uploadThroughput": bytes_per_s,
        }
        for session, kind in self.sessions.items():
            if kind != "worker":
                self.ask("Network.emulateNetworkConditions", conditions, session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._reader.join(PATIENCE_S)
