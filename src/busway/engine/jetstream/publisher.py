"""Publish messages so that each is stored once, whatever is lost on the way.

Each names the message of its partition that it has to follow, and the servers store it only there:
of all that were ever sent to follow one message a single one is stored, once, and however late a
copy comes. So what became of one whose acknowledgement was lost is seen from what follows now; and
the memory that the servers have of message ids, which ends, only saves the look.
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
    end_marker,
)
from busway.engine.jetstream.retry_deadline import RETRY_TIMEOUT_S, RetryDeadline
from busway.engine.jetstream.stored_message import BatchPosition
from busway.engine.jetstream.stream import (
    ApiError,
    LogStream,
    RequestRefused,
    to_store_error,
)
from busway.engine.jetstream.stream_index import StreamIndex
from busway.errors import StoreError, StoreFull

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_OUTCOME = "it is not known whether the events were stored"
_MESSAGE_ID_HEADER = "Nats-Msg-Id"
_BATCH_ID_HEADER = "Nats-Batch-Id"
_BATCH_SEQUENCE_HEADER = "Nats-Batch-Sequence"
_BATCH_COMMIT_HEADER = "Nats-Batch-Commit"
_MAX_BATCH_MESSAGES = 1_000
_WRONG_SEQUENCE_ERRORS = (10071, 10164)
_UNCERTAIN_ERRORS = (10158, 10176, 10201)
_DEFINITE_ERRORS = (RequestRefused, StoreFull, MessageTooLarge)


class _WrongSequence(StoreError):
    """A server says that another message came first.

    It is no proof: one that stood still, and has not learned yet that it leads no more, says so of
    a message that the leader of now stores.
    """


class _PublishAck(msgspec.Struct, frozen=True):
    seq: int = 0
    error: ApiError | None = None


class Publisher:
    """Stores parcels for one append at a time.

    ``atomic`` servers (2.12 and later) store all parcels of an append or none; others take each
    partition by itself, and an error may leave a part of them stored.
    """

    def __init__(self, stream: LogStream, index: StreamIndex, *, atomic: bool) -> None:
        self._stream = stream
        self._index = index
        self.atomic = atomic
        self.retry_timeout_s = RETRY_TIMEOUT_S
        """How long an append is tried, in seconds."""

    async def store(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime
    ) -> list[BatchPosition]:
        """Store parcels behind the ends of their partitions; return where they are.

        Raises :class:`StoreFull` when there is no room, and another :class:`StoreError` when it is
        not known in time whether they were stored.
        """
        patience = RetryDeadline(_UNKNOWN_OUTCOME, self.retry_timeout_s)
        if len(messages) == 1 or (self.atomic and len(messages) <= _MAX_BATCH_MESSAGES):
            return await self._store_at_ends(messages, appended_at, patience)
        return await self._store_by_partition(messages, appended_at, patience)

    async def skip_to(self, partition: int, offset: int) -> int:
        """Have a partition that ends before an offset go on there; return where it ended.

        Only a message that follows the one that was last can say so, so that nothing that others
        append comes between.
        """
        patience = RetryDeadline(
            "it is not known where the partition goes on", self.retry_timeout_s
        )
        while True:
            last = self._index.last_position(partition)
            end = last.end if last else 0
            if end >= offset:
                return end
            name, at = f"{uuid.uuid4().hex}.0", last.appended_at if last else _EPOCH
            one = PlacedMessage(end_marker(partition), offset, last.seq if last else 0, name, at)
            try:
                (spot,) = await self._send([one])
            except (_WrongSequence, NoReply) as error:
                await patience.pause(error)
                with contextlib.suppress(NoReply):
                    await self._refresh_ends([one])
            else:
                self._index.record(partition, spot)
                return end

    async def _store_by_partition(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime, deadline: RetryDeadline
    ) -> list[BatchPosition]:
        """Store the partitions beside each other, the parcels of each one by one."""
        spots: dict[int, BatchPosition] = {}

        async def store(numbers: Sequence[int]) -> None:
            for number in numbers:
                (spots[number],) = await self._store_at_ends(
                    [messages[number]], appended_at, deadline
                )

        chains: dict[int, list[int]] = {}
        for number, parcel in enumerate(messages):
            chains.setdefault(parcel.partition, []).append(number)
        ended = await asyncio.gather(*map(store, chains.values()), return_exceptions=True)
        for failed in (one for one in ended if isinstance(one, BaseException)):
            if not spots or not isinstance(failed, StoreError):
                raise failed
            raise StoreError(f"{failed}; a part of the events was stored") from failed
        return [spots[number] for number in range(len(messages))]

    async def _store_at_ends(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime, deadline: RetryDeadline
    ) -> list[BatchPosition]:
        """Store parcels in one piece, at places that are found anew until nobody else had them."""
        while True:
            sent = self._place(messages, appended_at)
            spots = await self._send_until_known(sent, deadline)
            if spots is not None:
                for one, spot in zip(sent, spots, strict=True):
                    self._index.record(one.message.partition, spot)
                return spots
            await deadline.pause("others append to the same partitions all the time")
            await self._refresh_ends(sent)

    def _place(
        self, messages: Sequence[OutgoingMessage], appended_at: datetime
    ) -> list[PlacedMessage]:
        identity = uuid.uuid4().hex
        ends: dict[int, int] = {}
        found: list[PlacedMessage] = []
        for number, parcel in enumerate(messages):
            last = self._index.last_position(parcel.partition)
            after = None if parcel.partition in ends else last.seq if last else 0
            offset = ends.get(parcel.partition, last.end if last else 0)
            ends[parcel.partition] = offset + parcel.count
            found.append(PlacedMessage(parcel, offset, after, f"{identity}.{number}", appended_at))
        return found

    async def _send_until_known(
        self, messages: Sequence[PlacedMessage], deadline: RetryDeadline
    ) -> list[BatchPosition] | None:
        """Send until it is known what became of it; ``None`` when others came first."""
        unsure = False
        while True:
            try:
                return await self._send(messages)
            except _DEFINITE_ERRORS as error:
                if not unsure:
                    raise
                await deadline.pause(error)
            except _WrongSequence as error:
                if unsure:
                    await deadline.pause(error)
            except NoReply as error:
                unsure = True
                await deadline.pause(error)
            told, unsure = not unsure, True
            try:
                spots = await self._find_stored(messages, is_refused=told)
            except NoReply:
                continue
            if spots is not None:
                return spots or None

    async def _find_stored(
        self, messages: Sequence[PlacedMessage], *, is_refused: bool
    ) -> list[BatchPosition] | None:
        """Look what is stored where it was to be: all of it, something else (an empty list), or
        not all of it yet (``None``). ``is_refused``: a server has said that it is something
        else."""
        spots: list[BatchPosition] = []
        behind: dict[int, int | None] = {}
        for one in messages:
            partition = one.message.partition
            after = behind[partition] if one.expected_seq is None else one.expected_seq
            found = None if after is None else await self._stream.next_message(partition, after + 1)
            behind[partition] = None if found is None else found.position.seq
            if found is None:
                continue
            if found.position.message_id != one.message_id:
                if spots or (found.position.offset != one.offset and not is_refused):
                    raise self._unknown_outcome_error()
                return []
            spots.append(found.position)
        return spots if len(spots) == len(messages) else None

    def _unknown_outcome_error(self) -> StoreError:
        return StoreError(
            f"{self._stream.connection.address}: it is not known whether the events were stored;"
            " send them again, they are recognised by their ids"
        )

    async def _refresh_ends(self, messages: Sequence[PlacedMessage]) -> None:
        """Learn where the partitions end now, from the leader where nothing was heard of it."""
        for one in messages:
            last = self._index.last_position(one.message.partition)
            if one.expected_seq is not None and (last is None or last.seq <= one.expected_seq):
                found = await self._stream.last_message(one.message.partition)
                if found is not None:
                    self._index.record(one.message.partition, found.position)

    async def _send(self, messages: Sequence[PlacedMessage]) -> list[BatchPosition]:
        *before, last = messages
        batch = uuid.uuid4().hex
        for number, one in enumerate(before, 1):
            given = one.to_headers(self._stream.name) | {
                _BATCH_ID_HEADER: batch,
                _BATCH_SEQUENCE_HEADER: str(number),
            }
            await self._stream.connection.publish(self._subject(one), one.message.body, given)
        given = last.to_headers(self._stream.name)
        if before:
            given |= {
                _BATCH_ID_HEADER: batch,
                _BATCH_SEQUENCE_HEADER: str(len(messages)),
                _BATCH_COMMIT_HEADER: "1",
            }
        else:
            given[_MESSAGE_ID_HEADER] = last.message_id
        answer = await self._stream.connection.request(
            self._subject(last), last.message.body, given
        )
        seq = self._decode_ack(answer.data)
        return [one.position(seq - len(before) + number) for number, one in enumerate(messages)]

    def _subject(self, message: PlacedMessage) -> str:
        return self._stream.subject(message.message.partition)

    def _decode_ack(self, data: bytes) -> int:
        place = self._stream.connection.address
        try:
            ack = msgspec.json.decode(data, type=_PublishAck)
        except msgspec.MsgspecError as error:
            raise NoReply(f"{place}: an acknowledgement cannot be read: {error}") from error
        if ack.error is None:
            return ack.seq
        if ack.error.err_code in _WRONG_SEQUENCE_ERRORS:
            raise _WrongSequence(
                f"{place}: {ack.error.description}: the partition does not end where it did; if"
                " that stays so, messages were deleted: restore the stream from a backup, or start"
                " Busway anew to go on without them"
            )
        if ack.error.err_code in _UNCERTAIN_ERRORS:
            raise NoReply(f"{place}: {ack.error.description}")
        raise to_store_error(place, ack.error)
