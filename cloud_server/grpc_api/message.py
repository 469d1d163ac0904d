"""A message's bytes, judged before protobuf makes objects of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from splitfer.cloud_server.admission.access import address_of
from splitfer.cloud_server.admission.slowed import SlowedCallers
from splitfer.cloud_server.admission.turns import Turns
from splitfer.shared.errors import DeadlineExceeded, MalformedPayload, PayloadTooLarge

Context = grpc.aio.ServicerContext[Any, Any]

# Of one message with all that lies in it. An empty message in a repeated field takes two bytes on
# the wire and hundreds as an object; no message of ours comes near.
FIELDS_MAX = 4096
# Below it there cannot be more: a field takes two bytes at least.
_CERTAIN_BYTES = 2 * FIELDS_MAX
_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = range(6)
# Calls that ask for health or reflection whose message is being read, and for how long.
STRANGERS_MAX, STRANGERS_S = 16, 5.0
_MESSAGE = 11  # FieldDescriptor.TYPE_MESSAGE
_VARINT_BYTES = 10
# The largest number that one byte holds.
_ONE_BYTE = 0x7F


class Reader:
    """Reads calls' messages. Of callers that were asked who they are any number at a time, for
    those were counted; of all others ``STRANGERS_MAX``, since gRPC may keep the largest message of
    any method for each. A large one is none that they may send: who does waits before the next.
    They are looked at by turns of their addresses."""

    def __init__(self, receive_s: float, turns: Turns | None = None) -> None:
        self._receive_s, self._turns = receive_s, turns or Turns()
        self._strangers, self._slowed = asyncio.Semaphore(STRANGERS_MAX), SlowedCallers()

    async def read(self, context: Context, known: bool = True) -> bytes:
        """The next message's bytes.

        Raises:
            DeadlineExceeded: it did not arrive in time.
            MalformedPayload: there is none.
            Overloaded: large messages came of this stranger's address.
        """
        if known:
            return await self._read(context, self._receive_s)
        address = await self.turn(context)
        await self._slowed.wait(address)
        async with self._strangers:
            data = await self._read(context, min(self._receive_s, STRANGERS_S))
        self._slowed.refused(address, len(data))
        return data

    async def turn(self, context: Context) -> str:
        """Return once it is the turn of the stranger, with his address."""
        address = address_of(context.peer())
        await self._turns.turn(address)
        return address

    async def _read(self, context: Context, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                data = await context.read()
        except TimeoutError:
            raise DeadlineExceeded(f"the message did not arrive within {seconds:g} s") from None
        if data is grpc.aio.EOF:
            raise MalformedPayload("a message is missing")
        assert isinstance(data, bytes)
        return data


def read_message(read: Callable[[bytes], Any], data: bytes, most_bytes: int, kind: Any) -> Any:
    """The message of protobuf's descriptor ``kind`` that ``read`` makes of ``data``.

    Raises:
        PayloadTooLarge: it has more bytes than ``most_bytes``, or more than ``FIELDS_MAX`` fields.
        MalformedPayload: it is no message of this kind.
    """
    if len(data) > most_bytes:
        raise PayloadTooLarge(f"the message has {len(data)} bytes; at most {most_bytes}")
    if len(data) > _CERTAIN_BYTES and not _few(data, kind):
        raise PayloadTooLarge(f"the message has more than {FIELDS_MAX} fields")
    try:
        return read(data)
    except DecodeError:
        raise MalformedPayload(
            "the message cannot be read: it is not of this method's type"
        ) from None


def _few(data: bytes, kind: Any) -> bool:
    """Whether there are at most ``FIELDS_MAX`` fields, those of messages inside counted too. What
    is no message is left to protobuf, once its fields were few up to there."""
    left = FIELDS_MAX
    inside = [(0, len(data), kind)]
    while inside:
        place, end, kind = inside.pop()
        messages = _messages(kind)
        while place < end:
            left -= 1
            if left < 0:
                return False
            tag = data[place]
            place += 1
            if tag > _ONE_BYTE:
                tag, place = _varint(data, place - 1, end)
            wire = tag & 7
            if wire == _VARINT:
                _, place = _varint(data, place, end)
            elif wire == _FIXED64:
                place += 8
            elif wire == _FIXED32:
                place += 4
            elif wire == _LENGTH:
                length = data[place] if place < end else 0
                place += 1
                if length > _ONE_BYTE:
                    length, place = _varint(data, place - 1, end)
                if length and (message := messages.get(tag >> 3)) is not None:
                    inside.append((place, min(place + length, end), message))
                place += length
            elif wire not in (_GROUP, _GROUP_END):
                break
    return True


@cache
def _messages(kind: Any) -> dict[int, Any]:
    """The fields of ``kind`` that hold messages, by number: their kinds."""
    fields = kind.fields_by_number.items()
    return {number: field.message_type for number, field in fields if field.type == _MESSAGE}


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """The number at ``place`` and the place behind it; the end where it is cut short."""
    value = 0
    for shift in range(_VARINT_BYTES):
        if place >= end:
            return 0, end
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place
    return 0, end
