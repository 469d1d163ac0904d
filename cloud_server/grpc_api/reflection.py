"""``grpc.reflection.v1alpha``: the services described to tools, for a bounded number of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from splitfer.cloud_server.admission.access import address_of
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.grpc_api.message import Context, read_message
from splitfer.cloud_server.grpc_api.wrap import SMALL_BYTES, Handler, abort_call
from splitfer.shared.errors import SplitFerError

SERVICE_NAME = reflection.SERVICE_NAME
STREAMS_MAX, REQUESTS_MAX, SILENCE_S = 16, 1000, 30.0
_Request = reflection_pb2.ServerReflectionRequest


class ReflectionServicer(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # no types
    """Upstream's answers; how many streams, how many questions on one and how long it may be
    silent is bounded. Where tokens are in force it is for callers that have one."""

    def __init__(self, names: Iterable[str], admission: Admission) -> None:
        super().__init__(names)
        self._admission = admission
        self._streams = 0

    async def answer(self, _: object, context: Context) -> None:
        """Answer one stream of questions."""
        await self._admission.turns.turn(address_of(context.peer()))
        if self._streams >= STREAMS_MAX:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{STREAMS_MAX} such streams are open already"
            )
        self._streams += 1
        try:
            grpc_caller(self._admission, context)
            async for reply in self.ServerReflectionInfo(self._questions(context), context):
                async with asyncio.timeout(SILENCE_S):
                    await context.write(reply)
        except SplitFerError as error:
            await abort_call(context, error)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"silent for {SILENCE_S:g} s")
        finally:
            self._streams -= 1

    async def _questions(self, context: Context) -> AsyncIterator[Any]:
        for _ in range(REQUESTS_MAX):
            async with asyncio.timeout(SILENCE_S):
                data = await context.read()
            if data is grpc.aio.EOF:
                return
            yield read_message(_Request.FromString, data, SMALL_BYTES, _Request.DESCRIPTOR)


def handler(servicer: ReflectionServicer) -> Handler:
    """The handler of ``ServerReflectionInfo``; it reads messages itself."""
    behaviour: Any = servicer.answer
    return grpc.stream_stream_rpc_method_handler(
        behaviour,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
