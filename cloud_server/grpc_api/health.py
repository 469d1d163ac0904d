"""``grpc.health.v1``: probes, and watches that are bounded in number and in patience."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from splitfer.cloud_server.admission.health import Health
from splitfer.cloud_server.grpc_api.message import Context, Reader, read_message
from splitfer.cloud_server.grpc_api.wrap import SMALL_BYTES, Handler, abort_call
from splitfer.shared.errors import SplitFerError

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
WATCHES_MAX = 64
_Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no types
    """Says of each service in ``names`` what ``health`` says of the server; ``""`` is the whole.

    A watch that does not read a status within ``write_s`` is ended, and so is one too many.
    """

    def __init__(
        self, health: Health, names: frozenset[str], reader: Reader, write_s: float
    ) -> None:
        self._health, self._names = health, names
        self._reader, self._write_s = reader, write_s
        self._watches = 0
        self._turn = asyncio.Event()
        self._over = False

    def tell(self, last: bool = False) -> None:
        """Send the server's health, which may have changed, to all watches; ``last`` ends them."""
        self._over = self._over or last
        self._turn.set()
        self._turn = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Whether the named service serves."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return _Status(status=self._status(request.service))

    async def Watch(self, _: object, context: Context) -> None:
        """Whether the named service serves, now and at each change."""
        if self._watches >= WATCHES_MAX:
            await self._reader.turn(context)
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{WATCHES_MAX} watches are open already"
            )
        self._watches += 1
        asked = health_pb2.HealthCheckRequest
        try:
            data = await self._reader.read(context, known=False)
            request = read_message(asked.FromString, data, SMALL_BYTES, asked.DESCRIPTOR)
            await self._watched(request.service, context)
        except SplitFerError as error:
            await abort_call(context, error)
        except TimeoutError:
            await context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED, "the status was not read in time"
            )
        finally:
            self._watches -= 1

    async def _watched(self, name: str, context: Context) -> None:
        sent: int | None = None
        while True:
            turn, over, status = self._turn, self._over, self._status(name)
            if status != sent:
                async with asyncio.timeout(self._write_s):
                    await context.write(_Status(status=status))
                sent = status
            if over:
                return
            await turn.wait()

    def _status(self, name: str) -> int:
        if name not in self._names:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if self._health.ready else _Status.NOT_SERVING)


def handlers(servicer: HealthServicer) -> tuple[Handler, Handler]:
    """Handlers of ``Check`` and ``Watch``; a watch reads its message itself."""
    check: Any = servicer.Check
    watch: Any = servicer.Watch
    return (
        grpc.unary_unary_rpc_method_handler(
            check, health_pb2.HealthCheckRequest.FromString, _Status.SerializeToString
        ),
        # To gRPC a stream, which it leaves to us to read; to the peer a single message.
        grpc.stream_stream_rpc_method_handler(watch, response_serializer=_Status.SerializeToString),
    )
