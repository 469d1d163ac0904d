"""What goes around every gRPC method, so that no servicer says a word of it.

    metadata -> who asks, may it -> counted in flight -> message, bounded -> servicer -> reply

The caller is judged, and let in, before a byte of its message is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import grpc

from splitfer.cloud_server.admission.access import address_of
from splitfer.cloud_server.admission.account import current_account
from splitfer.cloud_server.admission.admission import Admission
from splitfer.cloud_server.admission.byte_budget import ByteBudget, Held
from splitfer.cloud_server.admission.caller import grpc_caller
from splitfer.cloud_server.admission.slowed import LARGE_BYTES, SlowedCallers
from splitfer.cloud_server.admission.tokens import Scope
from splitfer.cloud_server.grpc_api.message import Context, Reader, read_message
from splitfer.cloud_server.protocol.error_map import codes_of, trailing_metadata
from splitfer.cloud_server.telemetry.observer import Observer
from splitfer.cloud_server.telemetry.request import REQUEST_ID
from splitfer.shared.errors import (
    OWN_FAULTS,
    SERVERS_CODES,
    InferenceFailed,
    SplitFerError,
    is_callers_fault,
    unexpected_error,
)
from splitfer.shared.wire import CODE_KEY

log = logging.getLogger(__name__)
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# For a method that is asked with a name at most.
SMALL_BYTES = 4096
# A message, and the values that are made of it.
_COPIES = 2


@dataclass(frozen=True)
class Method:
    """What one method takes: a protobuf message ``kind`` of at most ``most_bytes``, from a caller
    with ``scope`` (None: any that is known).

    ``open_to_all`` methods ask nobody who they are and count nothing: probes, and what says that
    the process lives. The observer sees those that are ``seen``. ``refusals`` gives the codes of
    the errors in a reply that answers nothing, and None of one that does.
    """

    kind: Any
    most_bytes: int = SMALL_BYTES
    scope: Scope | None = None
    open_to_all: bool = False
    seen: bool = True
    refusals: Callable[[Any], set[str] | None] = lambda _: None


class Wrap:
    """Makes a method's handler the one that the server runs."""

    def __init__(
        self, admission: Admission, observer: Observer, reader: Reader, budget: ByteBudget
    ) -> None:
        self._admission, self._observer = admission, observer
        self._reader, self._budget = reader, budget
        self._slowed = SlowedCallers()

    def unary(self, name: str, handler: Handler, method: Method) -> Handler:
        """The handler of the unary method ``service/method`` called ``name``. To gRPC it is one of
        a stream, which it leaves to us to read; to the peer the same as a single message."""
        behaviour: Any = self.answering(name, handler, method)
        return grpc.stream_unary_rpc_method_handler(behaviour)

    def answering(
        self, name: str, handler: Handler, method: Method
    ) -> Callable[[AsyncIterator[bytes] | bytes, Context], Awaitable[bytes]]:
        """The same as a function: a message's bytes, or a call to read it from, to a reply's."""

        async def answer(messages: AsyncIterator[bytes] | bytes, context: Context) -> bytes:
            request = self._observer.begin("grpc", name, _headers(context)) if method.seen else None
            try:
                reply = await self._answered(handler, method, messages, context, request)
                if request is not None:
                    request.sent_bytes = len(reply)
                return reply
            except BaseException as error:
                if request is not None:
                    request.code = request.code or _code(context, error)
                raise
            finally:
                if request is not None:
                    self._observer.end(request)

        return answer

    async def _answered(
        self, handler: Handler, method: Method, messages: Any, context: Context, request: Any
    ) -> bytes:
        inner: Any = handler.unary_unary  # typed for the threaded server
        read, write = handler.request_deserializer, handler.response_serializer
        assert read is not None
        assert write is not None
        try:
            if method.open_to_all:
                data = await self._data(method, messages, context, request)
                message = read_message(read, data, method.most_bytes, method.kind)
                reply: bytes = write(await inner(message, context))
                return reply
            caller = grpc_caller(self._admission, context, method.scope)
            # Before it is read as much as it may have: gRPC keeps what has come of it.
            most, key = method.most_bytes, caller.account.key
            if most <= SMALL_BYTES:
                await self._admission.turns.turn(key)
            with caller.request(), Held(self._budget, key, most) as held:
                if most > LARGE_BYTES:
                    await self._slowed.wait(key)
                data = await self._data(method, messages, context, request)
                size = len(data)
                try:
                    message = read_message(read, data, most, method.kind)
                    del data
                    held.become(_COPIES * message.ByteSize())
                    if request is not None:
                        context.set_trailing_metadata(((REQUEST_ID, request.id),))
                    replied = await inner(message, context)
                except SplitFerError as refused:
                    if not refused.retryable and not isinstance(refused, InferenceFailed):
                        self._slowed.refused(key, size)
                    raise
                codes = method.refusals(replied)
                at_fault = codes is not None and not (codes and codes <= SERVERS_CODES)
                # Where there was no time for it, too: to read it is what costs.
                if codes is not None and not (codes and codes <= OWN_FAULTS):
                    self._slowed.refused(key, size)
                reply = write(replied)
            if codes is None and most > SMALL_BYTES:
                caller.answered()
            elif codes is not None:
                await self._admission.refused(key, at_fault)
            return reply
        except SplitFerError as raised:
            error = raised
        except NotImplementedError:  # such as health's List
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not served here")
        except Exception as raised:
            if isinstance(raised, grpc.aio.AbortError):
                raise
            log.exception("a call failed")
            error = unexpected_error()
        await refuse_call(context, error, self._admission)

    async def _data(self, method: Method, messages: Any, context: Context, request: Any) -> bytes:
        known = not method.open_to_all
        data = messages if isinstance(messages, bytes) else await self._reader.read(context, known)
        if request is not None:
            request.received_bytes = len(data)
        return data


async def refuse_call(context: Context, error: SplitFerError, admission: Admission) -> NoReturn:
    """End the call with an error of ours, when it is its turn. A connection has room for so many
    calls, and for no more while these wait."""
    caller = current_account().key or address_of(context.peer())
    await admission.refused(caller, is_callers_fault(error))
    await abort_call(context, error)


async def abort_call(context: Context, error: SplitFerError) -> NoReturn:
    """End the call with an error of ours."""
    await context.abort(
        codes_of(error).grpc, str(error), trailing_metadata=trailing_metadata(error)
    )
    raise AssertionError("abort raises")


def _headers(context: Context) -> Mapping[str, str]:
    return {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}


def _code(context: Context, error: BaseException) -> str:
    """The code that a failed call is counted under."""
    for key, value in context.trailing_metadata() or ():
        if key == CODE_KEY:
            return str(value)
    if isinstance(error, asyncio.CancelledError):
        left_s = context.time_remaining()
        return "hung_up" if left_s is None or left_s > 0 else "deadline"
    return "internal"
