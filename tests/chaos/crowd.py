"""Many light edges in one process: the link's own states and waits, and nothing else.

    python -m tests.chaos.crowd HOST:PORT FINGERPRINT COUNT

Prints a line whenever another number of them is ready; ends when its input does.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

import grpc

from splitfer.edge_client.link import breaker as machine
from splitfer.edge_client.link.breaker import Breaker, LinkState
from splitfer.edge_client.link.channel import OPTIONS
from splitfer.edge_client.link.link import HANDSHAKE_TIMEOUT_S
from splitfer.shared.contracts import Reason
from splitfer.shared.stubs.splitfer.v1 import splitfer_pb2 as pb
from splitfer.shared.stubs.splitfer.v1.splitfer_pb2_grpc import SplitFerStub

# Between two calls of one edge while all is well; a thousand of them are then no load.
CALL_EVERY_S = 5.0
_TELL_EVERY_S = 0.1


class LightEdge:
    """Keeps one link as ``splitfer.edge_client.link`` does, in a coroutine instead of a thread."""

    def __init__(self, server: str, fingerprint: str) -> None:
        self._server, self._fingerprint = server, fingerprint
        self._breaker = Breaker()
        self.probes = 0

    @property
    def ready(self) -> bool:
        return self._breaker.state is LinkState.READY

    async def run(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._breaker.probe_at_s - time.monotonic()))
            self._breaker = machine.probe_started(self._breaker)
            self.probes += 1
            async with grpc.aio.insecure_channel(self._server, options=OPTIONS) as channel:
                stub = SplitFerStub(channel)  # type: ignore[no-untyped-call]
                if not await self._ask(stub):
                    now_s, draw = time.monotonic(), random.random()
                    self._breaker = machine.handshake_failed(
                        self._breaker, Reason.LINK_DOWN, now_s, draw
                    )
                    continue
                self._breaker = machine.handshake_succeeded(self._breaker)
                await self._while_ready(channel, stub)

    async def _while_ready(self, channel: grpc.aio.Channel, stub: SplitFerStub) -> None:
        while self.ready:
            state = channel.get_state()
            if state is grpc.ChannelConnectivity.READY:
                try:
                    async with asyncio.timeout(CALL_EVERY_S * random.uniform(0.5, 1.5)):
                        await channel.wait_for_state_change(state)
                except TimeoutError:
                    pass
            if await self._ask(stub):
                self._breaker = machine.call_succeeded(self._breaker)
            else:
                now_s, draw = time.monotonic(), random.random()
                self._breaker = machine.call_failed(self._breaker, Reason.LINK_DOWN, now_s, draw)

    async def _ask(self, stub: SplitFerStub) -> bool:
        request = pb.GetModelRequest(fingerprint=self._fingerprint)
        try:
            model = await stub.GetModel(request, timeout=HANDSHAKE_TIMEOUT_S)
        except grpc.RpcError:
            return False
        return bool(model.fingerprint == self._fingerprint)


async def crowd(server: str, fingerprint: str, count: int) -> None:
    """Until the input ends."""
    edges = [LightEdge(server, fingerprint) for _ in range(count)]
    tasks = [asyncio.create_task(edge.run()) for edge in edges]
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    told = -1
    while not over.done():
        ready = sum(edge.ready for edge in edges)
        if ready != told:
            told = ready
            print(ready, sum(edge.probes for edge in edges), flush=True)
        await asyncio.wait([over, *tasks], timeout=_TELL_EVERY_S, return_when="FIRST_COMPLETED")
        for task in tasks:
            if task.done():
                task.result()  # nothing may end one of them
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(crowd(sys.argv[1], sys.argv[2], int(sys.argv[3])))
