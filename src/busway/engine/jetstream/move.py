"""Move an installation into a stream, with its ledger in PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.connection import NatsConnection, NoReply
from busway.engine.jetstream.log import JetStreamLog
from busway.engine.jetstream.outgoing_message import (
    PlacedMessage,
    batch_headers,
    compress_messages,
    payload_bytes_for,
    split_drafts,
)
from busway.engine.jetstream.provisioning import (
    adopt,
    finish_move,
    holds_log,
    in_use_message,
    reason_against_move,
)
from busway.engine.jetstream.retry_deadline import RetryDeadline
from busway.engine.jetstream.server_check import check_server
from busway.engine.jetstream.stream import (
    WRONG_SEQUENCE_ERRORS,
    LogStream,
    PublishAck,
    to_store_error,
)
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.move import PostgresImportLedger, begin_ledger, target_state
from busway.errors import Conflict
from busway.ports import LogBatch, NewBatch, StoreOptions
from busway.ports.move import Move, MoveReceiver, TargetState

_WINDOW_BYTES = 8 * 1024 * 1024
_WINDOW_MESSAGES = 128


class _OutOfOrder(NoReply):
    """The message before was not stored, or is not at the expected sequence."""


class JetStreamTarget:
    """A stream for the log, a database for the ledger."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._address = JetStreamAddress.parse(options.address)

    @property
    def name(self) -> str:
        return str(self._address)

    async def inspect(self) -> TargetState:
        state = await target_state(self._options.ledger, log_elsewhere=True)
        if state.conflict:
            return state
        connection = await NatsConnection.open(self._address)
        try:
            stream = LogStream(connection)
            identity = None if state.move is None else state.move.identity
            if reason := await reason_against_move(stream, identity):
                return TargetState(conflict=reason)
            log_missing = identity is not None and not await holds_log(stream, identity)
            return TargetState(state.move, log_missing=log_missing)
        finally:
            await connection.close()

    async def begin(self, move: Move, bases: Sequence[int]) -> MoveReceiver:
        ledger, _ = await begin_ledger(self._options, move, log_elsewhere=True)
        try:
            await self._adopt_stream(move, len(bases))
            limits = (0, self._options.max_event_bytes)
            log = await JetStreamImportLog.open(self._address, len(bases), *limits)
            try:
                await log.skip_to_bases(bases)
            except BaseException:
                await log.close()
                raise
        except BaseException:
            await ledger.close()
            raise
        return JetStreamMoveReceiver(log, ledger)

    async def _adopt_stream(self, move: Move, partitions: int) -> None:
        connection = await NatsConnection.open(self._address)
        try:
            await check_server(connection, self._options.max_event_bytes)
            await adopt(LogStream(connection), move.identity, partitions)
        finally:
            await connection.close()


class JetStreamMoveReceiver:
    """A stream and a ledger that receive an installation."""

    def __init__(self, log: JetStreamImportLog, owning_ledger: PostgresLedger) -> None:
        self.log = log
        self._owning_ledger = owning_ledger
        self.ledger = PostgresImportLedger.sharing(owning_ledger)

    async def append(self, batches: Sequence[LogBatch]) -> None:
        await self.log.store_at_offsets(batches)

    async def finish(self) -> None:
        await self.log.finish_move()

    async def close(self) -> None:
        try:
            await self.log.close()
        finally:
            await self._owning_ledger.close()


class JetStreamImportLog(JetStreamLog):
    """A log that stores batches at given offsets, many at a time."""

    async def skip_to_bases(self, bases: Sequence[int]) -> None:
        """Let each partition that ends before its base begin there."""
        for partition, base in enumerate(bases):
            if await self.skip_to(partition, base) < base:
                await self.trim(partition, base)

    async def store_at_offsets(self, batches: Sequence[LogBatch]) -> None:
        """Store adjacent batches of one partition."""
        partition = batches[0].partition
        await self.bounds(partition)
        last = self._index.last_position(partition)
        if (last.end if last else 0) != batches[0].offset:
            raise Conflict(f"{self._label}: another process appends to it; stop that process")
        for window in _in_windows(self._place(batches)):
            await self._store(window)

    async def finish_move(self) -> None:
        """Mark the move as finished, so that the stream can be opened like any other."""
        await finish_move(self._stream)

    def _place(self, batches: Sequence[LogBatch]) -> Iterator[PlacedMessage]:
        max_payload = self._stream.connection.max_payload
        move_id = uuid.uuid4().hex
        number = 0
        for batch in batches:
            draft, offset = NewBatch(batch.partition, batch.events), batch.offset
            messages = split_drafts([draft], max_payload)
            if self._stream.connection.address.compress:
                messages = compress_messages(messages)
            for message in messages:
                needed = payload_bytes_for(min(message.size_bytes, len(message.body)))
                if needed > max_payload:
                    raise Conflict(
                        f"{self._label}: the event at offset {offset} of partition"
                        f" {batch.partition} is too large for messages of {max_payload} bytes;"
                        f" set max_payload to {needed} or more (8MB is good) on the servers"
                    )
                yield PlacedMessage(message, offset, 0, f"{move_id}.{number}", batch.appended_at)
                offset, number = offset + message.count, number + 1

    async def _store(self, window: Sequence[PlacedMessage]) -> None:
        """Store messages of one partition, many at a time; retry those that were not stored."""
        deadline = RetryDeadline("it is not known whether they were stored")
        while window:
            try:
                if self._publisher.atomic and len(window) > 1:
                    await self._send_atomically(window)
                else:
                    expected = await self._chain(window)
                    await _gather(self._send(message) for message in expected)
            except NoReply as error:
                await deadline.pause(error)
            try:
                window = await self._unstored(window)
            except NoReply as error:
                await deadline.pause(error)

    async def _chain(self, window: Sequence[PlacedMessage]) -> list[PlacedMessage]:
        """Let each message follow the one before: nobody else appends, so sequences are known."""
        last = self._index.last_position(window[0].message.partition)
        first = msgspec.structs.replace(window[0], expected_seq=last.seq if last else 0)
        next_seq = (await self._stream.info()).state.last_seq + 1
        return [
            first,
            *(
                msgspec.structs.replace(message, expected_seq=seq)
                for seq, message in enumerate(window[1:], next_seq)
            ),
        ]

    async def _send_atomically(self, window: Sequence[PlacedMessage]) -> None:
        """Send messages of one partition, which are stored all or none, with one sync."""
        subject = self._stream.subject(window[0].message.partition)
        last = self._index.last_position(window[0].message.partition)
        batch_id = uuid.uuid4().hex
        for number, message in enumerate(window[:-1], 1):
            seq = None if number > 1 else last.seq if last else 0
            placed = msgspec.structs.replace(message, expected_seq=seq)
            headers = placed.to_headers(self._stream.name) | batch_headers(batch_id, number)
            await self._stream.connection.publish(subject, message.message.body, headers)
        headers = batch_headers(batch_id, len(window), is_last=True)
        await self._send(msgspec.structs.replace(window[-1], expected_seq=None), headers)

    async def _send(
        self, message: PlacedMessage, extra_headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        subject = self._stream.subject(message.message.partition)
        headers = message.to_headers(self._stream.name) | dict(extra_headers)
        reply = await self._stream.connection.request(subject, message.message.body, headers)
        try:
            ack = msgspec.json.decode(reply.data, type=PublishAck)
        except msgspec.MsgspecError as error:
            raise NoReply(f"{self._label}: invalid acknowledgement: {error}") from error
        if ack.error is not None and ack.error.err_code in WRONG_SEQUENCE_ERRORS:
            raise _OutOfOrder(f"{self._label}: {ack.error.description}")
        if ack.error is not None:
            raise to_store_error(self._label, ack.error)
        self._index.record(message.message.partition, message.position(ack.seq))

    async def _unstored(self, window: Sequence[PlacedMessage]) -> Sequence[PlacedMessage]:
        """Return the messages after the last one that the leader has stored."""
        partition = window[0].message.partition
        last = await self._stream.last_message(partition)
        if last is None:
            return window
        self._index.record(partition, last.position)
        ids = [message.message_id for message in window]
        if last.position.message_id in ids:
            return window[ids.index(last.position.message_id) + 1 :]
        if last.position.end != window[0].offset and window[0].message.count:
            raise Conflict(in_use_message(self._stream.connection.address))
        return window


async def _gather(sends: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all; raise the first error, preferably one that is not :class:`_OutOfOrder`."""
    errors = [error for error in await asyncio.gather(*sends, return_exceptions=True) if error]
    if errors:
        raise next((error for error in errors if not isinstance(error, _OutOfOrder)), errors[0])


def _in_windows(messages: Iterable[PlacedMessage]) -> Iterator[list[PlacedMessage]]:
    window: list[PlacedMessage] = []
    size = 0
    for message in messages:
        window.append(message)
        size += len(message.message.body)
        if size > _WINDOW_BYTES or len(window) == _WINDOW_MESSAGES:
            yield window
            window, size = [], 0
    if window:
        yield window
