"""Publish messages so that each is stored once, whatever is lost on the way.

Each names the message of its partition that it has to follow, and the servers store it only there:
of all messages ever sent to follow a certain one, a single one is stored, once, however late a copy
arrives. So if an acknowledgement is lost, the message that is stored now tells the outcome; the
servers' deduplication by message id, which is limited in time, only saves that query.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from busway.engine.jetstream.connection import MessageTooLarge, NoReply
from busway.engine.jetstream.outgoing_message import (
    OutgoingMessage,
    PlacedMessage,
    batch_headers,
    end_marker,
)
from busway.engine.jetstream.retry_deadline import RETRY_TIMEOUT_S, RetryDeadline
from busway.engine.jetstream.stored_message import BatchPosition
from busway.engine.jetstream.stream import (
    WRONG_SEQUENCE_ERRORS,
    LogStream,
    PublishAck,
    RequestRefused,
    to_store_error,
)
from busway.engine.jetstream.stream_index import StreamIndex
from busway.errors import StoreError, StoreFull

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_OUTCOME = "it is not known whether the events were stored"
_MESSAGE_ID_HEADER = "Nats-Msg-Id"
_MAX_BATCH_MESSAGES = 1_000
_UNCERTAIN_ERRORS = (10158, 10176, 10201)
_DEFINITE_ERRORS = (RequestRefused, StoreFull, MessageTooLarge)


class _WrongSequence(StoreError):
    """A server reports that another message came first.

    That is no proof: a server that stalled, and does not know yet that it is no longer the leader,
    reports so of a message that the new leader stores.
    """


class Publisher:
    """Stores the messages of one append at a time.

    ``atomic`` servers (2.12 and later) store all messages of an append or none; on others each
    partition is stored separately, and an error may leave a part of the messages stored.
    """

    def __init__(self, stream: LogStream, index: StreamIndex, *, atomic: bool) -> None:
        self._stream = stream
        self._index = index
        self.atomic = atomic
        self.retry_timeout_s = RETRY_TIMEOUT_S
        """How long an append is retried, in seconds."""

    async def store(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime
    ) -> list[BatchPosition]:
        """Store messages at the ends of their partitions; return their positions.

        Raises :class:`StoreFull` if there is no room, and another :class:`StoreError` if it is
        unknown whether they were stored when the time is over.
        """
        deadline = RetryDeadline(_UNKNOWN_OUTCOME, self.retry_timeout_s)
        if len(messages) == 1 or (self.atomic and len(messages) <= _MAX_BATCH_MESSAGES):
            return await self._store_at_ends(messages, appended_at, deadline)
        return await self._store_by_partition(messages, appended_at, deadline)

    async def skip_to(self, partition: int, offset: int) -> int:
        """Advance the end of a partition to an offset; return its end before.

        The message that does so must follow the last one, so that nothing that others append is
        skipped.
        """
        deadline = RetryDeadline(
            "it is not known where the partition continues", self.retry_timeout_s
        )
        while True:
            last = self._index.last_position(partition)
            end = last.end if last else 0
            if end >= offset:
                return end
            message_id, at = f"{uuid.uuid4().hex}.0", last.appended_at if last else _EPOCH
            seq = last.seq if last else 0
            message = PlacedMessage(end_marker(partition), offset, seq, message_id, at)
            try:
                (position,) = await self._send([message])
            except (_WrongSequence, NoReply) as error:
                await deadline.pause(error)
                with contextlib.suppress(NoReply):
                    await self._refresh_ends([message])
            else:
                self._index.record(partition, position)
                return end

    async def _store_by_partition(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime, deadline: RetryDeadline
    ) -> list[BatchPosition]:
        """Store the partitions concurrently, the messages of each one after the other."""
        positions: dict[int, BatchPosition] = {}

        async def store(numbers: Sequence[int]) -> None:
            for number in numbers:
                (positions[number],) = await self._store_at_ends(
                    [messages[number]], appended_at, deadline
                )

        numbers_by_partition: dict[int, list[int]] = {}
        for number, message in enumerate(messages):
            numbers_by_partition.setdefault(message.partition, []).append(number)
        stores = map(store, numbers_by_partition.values())
        results = await asyncio.gather(*stores, return_exceptions=True)
        for error in (result for result in results if isinstance(result, BaseException)):
            if not positions or not isinstance(error, StoreError):
                raise error
            raise StoreError(f"{error}; a part of the events was stored") from error
        return [positions[number] for number in range(len(messages))]

    async def _store_at_ends(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime, deadline: RetryDeadline
    ) -> list[BatchPosition]:
        """Store messages atomically, at new positions until no other process was faster."""
        while True:
            placed = self._place(messages, appended_at)
            positions = await self._send_until_known(placed, deadline)
            if positions is not None:
                for message, position in zip(messages, positions, strict=True):
                    self._index.record(message.partition, position)
                return positions
            await deadline.pause("others append to the same partitions all the time")
            await self._refresh_ends(placed)

    def _place(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime
    ) -> list[PlacedMessage]:
        identity = uuid.uuid4().hex
        ends: dict[int, int] = {}
        placed: list[PlacedMessage] = []
        for number, message in enumerate(messages):
            last = self._index.last_position(message.partition)
            seq = None if message.partition in ends else last.seq if last else 0
            offset = ends.get(message.partition, last.end if last else 0)
            ends[message.partition] = offset + message.count
            placed.append(PlacedMessage(message, offset, seq, f"{identity}.{number}", appended_at))
        return placed

    async def _send_until_known(
        self, messages: Sequence[PlacedMessage], deadline: RetryDeadline
    ) -> list[BatchPosition] | None:
        """Send until the outcome is known; return ``None`` if other messages came first."""
        is_uncertain = False
        while True:
            try:
                return await self._send(messages)
            except _DEFINITE_ERRORS as error:
                if not is_uncertain:
                    raise
                await deadline.pause(error)
            except _WrongSequence as error:
                if is_uncertain:
                    await deadline.pause(error)
            except NoReply as error:
                is_uncertain = True
                await deadline.pause(error)
            is_refused, is_uncertain = not is_uncertain, True
            try:
                positions = await self._find_stored(messages, is_refused=is_refused)
            except NoReply:
                continue
            if positions is not None:
                return positions or None

    async def _find_stored(
        self, messages: Sequence[PlacedMessage], *, is_refused: bool
    ) -> list[BatchPosition] | None:
        """Return the positions at which messages are stored.

        An empty list: other messages are stored there. ``None``: not all are stored yet.
        ``is_refused``: a server has reported that other messages are stored there.
        """
        positions: list[BatchPosition] = []
        last_seqs: dict[int, int | None] = {}
        for message in messages:
            partition = message.message.partition
            seq = last_seqs[partition] if message.expected_seq is None else message.expected_seq
            stored = None if seq is None else await self._stream.next_message(partition, seq + 1)
            last_seqs[partition] = None if stored is None else stored.position.seq
            if stored is None:
                continue
            if stored.position.message_id != message.message_id:
                if positions or (stored.position.offset != message.offset and not is_refused):
                    raise self._unknown_outcome_error()
                return []
            positions.append(stored.position)
        return positions if len(positions) == len(messages) else None

    def _unknown_outcome_error(self) -> StoreError:
        return StoreError(
            f"{self._stream.connection.address}: it is not known whether the events were stored;"
            " send them again, duplicates are recognized by their ids"
        )

    async def _refresh_ends(self, messages: Sequence[PlacedMessage]) -> None:
        """Learn the current ends of the partitions, from the leader if no news has arrived."""
        for message in messages:
            partition, seq = message.message.partition, message.expected_seq
            last = self._index.last_position(partition)
            if seq is not None and (last is None or last.seq <= seq):
                stored = await self._stream.last_message(partition)
                if stored is not None:
                    self._index.record(partition, stored.position)

    async def _send(self, messages: Sequence[PlacedMessage]) -> list[BatchPosition]:
        *before, last = messages
        connection, name, batch_id = self._stream.connection, self._stream.name, uuid.uuid4().hex
        for number, message in enumerate(before, 1):
            headers = message.to_headers(name) | batch_headers(batch_id, number)
            await connection.publish(self._subject(message), message.message.body, headers)
        headers = last.to_headers(name)
        if before:
            headers |= batch_headers(batch_id, len(messages), is_last=True)
        else:
            headers[_MESSAGE_ID_HEADER] = last.message_id
        reply = await connection.request(self._subject(last), last.message.body, headers)
        first_seq = self._decode_ack(reply.data) - len(before)
        return [message.position(first_seq + number) for number, message in enumerate(messages)]

    def _subject(self, message: PlacedMessage) -> str:
        return self._stream.subject(message.message.partition)

    def _decode_ack(self, data: bytes) -> int:
        label = self._stream.connection.address
        try:
            ack = msgspec.json.decode(data, type=PublishAck)
        except msgspec.MsgspecError as error:
            raise NoReply(f"{label}: invalid acknowledgement: {error}") from error
        if ack.error is None:
            return ack.seq
        if ack.error.err_code in WRONG_SEQUENCE_ERRORS:
            raise _WrongSequence(
                f"{label}: {ack.error.description}: the partition does not end where it did; if"
                " that persists, messages were deleted: restore the stream from a backup, or"
                " restart Busway to continue without them"
            )
        if ack.error.err_code in _UNCERTAIN_ERRORS:
            raise NoReply(f"{label}: {ack.error.description}")
        raise to_store_error(label, ack.error)
