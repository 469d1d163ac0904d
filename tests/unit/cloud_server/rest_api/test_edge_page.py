"""What ``/edge`` is where nobody built it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette

from splitfer.cloud_server.admission.turns import Turns
from splitfer.cloud_server.rest_api import edge_page


async def test_without_the_built_files_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_page, "_BUILT", ("never.wasm",))
    app = Starlette(routes=edge_page.edge_routes(cast(Any, SimpleNamespace()), Turns()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        reply = await client.get("/edge")
        assert reply.status_code == 404
        assert "make web" in reply.text
        assert (await client.get("/edge/edge.js")).status_code == 404
