"""Take an installation into a stream, with its ledger in PostgreSQL."""

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
from busway.engine.jetstream.stream import ApiError, LogStream, to_store_error
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.move import PostgresImportLedger, begin_ledger, target_state
from busway.errors import Conflict
from busway.ports import LogBatch, NewBatch, StoreOptions
from busway.ports.move import Move, MoveReceiver, TargetState

_WRONG_SEQUENCE_ERRORS = (10071, 10164)
_BATCH_ID_HEADER = "Nats-Batch-Id"
_BATCH_SEQUENCE_HEADER = "Nats-Batch-Sequence"
_BATCH_COMMIT_HEADER = "Nats-Batch-Commit"
_WINDOW_BYTES = 8 * 1024 * 1024
_WINDOW_MESSAGES = 128


class _PublishAck(msgspec.Struct, frozen=True):
    seq: int = 0
    error: ApiError | None = None


class _OutOfOrder(NoReply):
    """A message before it was not stored, or is not where it was expected."""


class JetStreamTarget:
    """A stream for the log, a database for the ledger."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._address = JetStreamAddress.parse(options.address)

    @property
    def name(self) -> str:
        return str(self._address)

    async def inspect(self) -> TargetState:
        found = await target_state(self._options.ledger, log_elsewhere=True)
        if found.conflict:
            return found
        link = await NatsConnection.open(self._address)
        try:
            identity = None if found.move is None else found.move.identity
            reason = await reason_against_move(LogStream(link), identity)
            here = reason or identity is None or await holds_log(LogStream(link), identity)
        finally:
            await link.close()
        return (
            TargetState(conflict=reason)
            if reason
            else TargetState(found.move, log_missing=not here)
        )

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
        link = await NatsConnection.open(self._address)
        try:
            await check_server(link, self._options.max_event_bytes)
            await adopt(LogStream(link), move.identity, partitions)
        finally:
            await link.close()


class JetStreamMoveReceiver:
    """A stream and a ledger that take an installation."""

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
    """A log into which batches are put at their places, many at a time on their way."""

    async def skip_to_bases(self, bases: Sequence[int]) -> None:
        """Have each partition that ends before its base begin there, anew."""
        for partition, base in enumerate(bases):
            if await self.skip_to(partition, base) < base:
                await self.trim(partition, base)

    async def store_at_offsets(self, batches: Sequence[LogBatch]) -> None:
        """Store batches of one partition behind each other."""
        partition = batches[0].partition
        await self.bounds(partition)
        last = self._index.last_position(partition)
        if (last.end if last else 0) != batches[0].offset:
            raise Conflict(f"{self._label}: somebody else appends to it; stop that")
        for window in _in_windows(self._place(batches)):
            await self._store(window)

    async def finish_move(self) -> None:
        """Let it be opened as any other."""
        await finish_move(self._stream)

    def _place(self, batches: Sequence[LogBatch]) -> Iterator[PlacedMessage]:
        link = self._stream.connection
        name = uuid.uuid4().hex
        number = 0
        for batch in batches:
            draft, offset = NewBatch(batch.partition, batch.events), batch.offset
            made = split_drafts([draft], link.max_payload)
            for parcel in compress_messages(made) if link.address.compress else made:
                if (
                    needed := payload_bytes_for(min(parcel.size_bytes, len(parcel.body)))
                ) > link.max_payload:
                    raise Conflict(
                        f"{link.address}: the event at offset {offset} of partition"
                        f" {batch.partition} is too large for messages of {link.max_payload} bytes;"
                        f" set max_payload to {needed} or more (8MB is good) on the servers"
                    )
                yield PlacedMessage(parcel, offset, 0, f"{name}.{number}", batch.appended_at)
                offset, number = offset + parcel.count, number + 1

    async def _store(self, window: Sequence[PlacedMessage]) -> None:
        """Send messages of one partition without waiting for each; again what was not stored."""
        patience = RetryDeadline("it is not known whether they were stored")
        while window:
            try:
                if self._publisher.atomic and len(window) > 1:
                    await self._send_atomically(window)
                else:
                    expected = await self._chain(window)
                    await _gather(self._send(one) for one in expected)
            except NoReply as error:
                await patience.pause(error)
            try:
                window = await self._unstored(window)
            except NoReply as error:
                await patience.pause(error)

    async def _chain(self, window: Sequence[PlacedMessage]) -> list[PlacedMessage]:
        """Have each follow the one before: nobody else appends, so that sequences are known."""
        last = self._index.last_position(window[0].message.partition)
        after = last.seq if last else 0
        seq = (await self._stream.info()).state.last_seq
        found = []
        for one in window:
            found.append(msgspec.structs.replace(one, expected_seq=after))
            seq += 1
            after = seq
        return found

    async def _send_atomically(self, window: Sequence[PlacedMessage]) -> None:
        """Send messages of one partition that are stored all or none, with one sync."""
        subject = self._stream.subject(window[0].message.partition)
        last = self._index.last_position(window[0].message.partition)
        batch = {_BATCH_ID_HEADER: uuid.uuid4().hex}
        for number, one in enumerate(window[:-1], 1):
            after = None if number > 1 else last.seq if last else 0
            given = msgspec.structs.replace(one, expected_seq=after).to_headers(self._stream.name)
            given |= batch | {_BATCH_SEQUENCE_HEADER: str(number)}
            await self._stream.connection.publish(subject, one.message.body, given)
        ended = batch | {_BATCH_SEQUENCE_HEADER: str(len(window)), _BATCH_COMMIT_HEADER: "1"}
        await self._send(msgspec.structs.replace(window[-1], expected_seq=None), ended)

    async def _send(
        self, message: PlacedMessage, extra_headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        subject = self._stream.subject(message.message.partition)
        given = message.to_headers(self._stream.name) | dict(extra_headers)
        answer = await self._stream.connection.request(subject, message.message.body, given)
        try:
            ack = msgspec.json.decode(answer.data, type=_PublishAck)
        except msgspec.MsgspecError as error:
            raise NoReply(f"{self._label}: an acknowledgement cannot be read") from error
        if ack.error is not None and ack.error.err_code in _WRONG_SEQUENCE_ERRORS:
            raise _OutOfOrder(f"{self._label}: {ack.error.description}")
        if ack.error is not None:
            raise to_store_error(self._label, ack.error)
        self._index.record(message.message.partition, message.position(ack.seq))

    async def _unstored(self, window: Sequence[PlacedMessage]) -> Sequence[PlacedMessage]:
        """Return what is not stored yet, by what the leader has last."""
        partition = window[0].message.partition
        found = await self._stream.last_message(partition)
        if found is None:
            return window
        self._index.record(partition, found.position)
        here = next(
            (n for n, one in enumerate(window, 1) if one.message_id == found.position.message_id),
            None,
        )
        if here is None and found.position.end != window[0].offset and window[0].message.count:
            raise Conflict(in_use_message(self._stream.connection.address))
        return window[here or 0 :]


async def _gather(sends: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all of them; raise what one failed with, rather what is no matter of order."""
    failed = [one for one in await asyncio.gather(*sends, return_exceptions=True) if one]
    if failed:
        raise next((one for one in failed if not isinstance(one, _OutOfOrder)), failed[0])


def _in_windows(messages: Iterable[PlacedMessage]) -> Iterator[list[PlacedMessage]]:
    window: list[PlacedMessage] = []
    size = 0
    for one in messages:
        window.append(one)
        size += len(one.message.body)
        if size > _WINDOW_BYTES or len(window) == _WINDOW_MESSAGES:
            yield window
            window, size = [], 0
    if window:
        yield window
