"""How much of what came on a WebSocket is read before others have their turn."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import MagicMock

import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from splitfer.cloud_server.rest_api.websocket import bounded_websocket

HANDSHAKE = (
    b"GET /v1/latents/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SMALL = Frame(Opcode.BINARY, bytes(16), True).serialize(mask=True)
MOST_A_TURN = 8192 // len(SMALL) + 1


async def test_small_messages_are_read_a_part_at_a_time_and_all_in_order() -> None:
    got, most_waiting = list[bytes](), 0
    done = asyncio.Event()

    async def app(_: Any, receive: Any, send: Any) -> None:
        nonlocal most_waiting
        await receive()
        await send({"type": "websocket.accept"})
        while len(got) < len(messages):
            got.append((await receive())["bytes"])
            most_waiting = max(most_waiting, made.queue.qsize())
        done.set()

    messages = [number.to_bytes(16, "big") for number in range(5000)]
    frames = b"".join(Frame(Opcode.BINARY, one, True).serialize(mask=True) for one in messages)
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws_ping_interval=None)
    config.load()
    made: Any = bounded_websocket(20, 20)(config=config, server_state=ServerState(), app_state={})
    transport = MagicMock(spec=asyncio.Transport)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    made.connection_made(transport)
    # Larger than a part, and read at once all the same.
    made.data_received(HANDSHAKE + (b"X: " + b"y" * 100 + b"\r\n") * 90 + b"\r\n")
    assert made.handshake_initiated
    while made.conn.state.name != "OPEN":  # noqa: ASYNC110  # the application's to say
        await asyncio.sleep(0)
    made.data_received(frames)
    assert made.queue.qsize() <= MOST_A_TURN
    async with asyncio.timeout(60):
        await done.wait()
    assert got == messages
    assert most_waiting <= MOST_A_TURN
    assert transport.resume_reading.called
    made.connection_lost(None)
