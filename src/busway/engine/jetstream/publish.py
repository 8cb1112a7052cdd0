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

from busway.engine.jetstream.chart import Chart
from busway.engine.jetstream.link import TooLarge, Unanswered
from busway.engine.jetstream.message import Spot
from busway.engine.jetstream.parcel import Parcel, Sent, marker
from busway.engine.jetstream.patience import PATIENCE_S, Patience
from busway.engine.jetstream.stream import Fault, Refused, Stream, refusal
from busway.errors import StoreError, StoreFull

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN = "it is not known whether the events were stored"
_MESSAGE_ID = "Nats-Msg-Id"
_BATCH = "Nats-Batch-Id"
_BATCH_SEQUENCE = "Nats-Batch-Sequence"
_BATCH_COMMIT = "Nats-Batch-Commit"
_BATCH_MESSAGES = 1_000
_RACED = (10071, 10164)
_UNSURE = (10158, 10176, 10201)
_MEANT_TO_PASS = (Refused, StoreFull, TooLarge)


class _Raced(StoreError):
    """A server says that another message came first.

    It is no proof: one that stood still, and has not learned yet that it leads no more, says so of
    a message that the leader of now stores.
    """


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    error: Fault | None = None


class Publisher:
    """Stores parcels for one append at a time.

    ``atomic`` servers (2.12 and later) store all parcels of an append or none; others take each
    partition by itself, and an error may leave a part of them stored.
    """

    def __init__(self, stream: Stream, chart: Chart, *, atomic: bool) -> None:
        self._stream = stream
        self._chart = chart
        self.atomic = atomic
        self.patience_s = PATIENCE_S
        """How long an append is tried, in seconds."""

    async def store(self, parcels: Sequence[Parcel], at: datetime) -> list[Spot]:
        """Store parcels behind the ends of their partitions; return where they are.

        Raises :class:`StoreFull` when there is no room, and another :class:`StoreError` when it is
        not known in time whether they were stored.
        """
        patience = Patience(_UNKNOWN, self.patience_s)
        if len(parcels) == 1 or (self.atomic and len(parcels) <= _BATCH_MESSAGES):
            return await self._whole(parcels, at, patience)
        return await self._apart(parcels, at, patience)

    async def continue_at(self, partition: int, offset: int) -> int:
        """Have a partition that ends before an offset go on there; return where it ended.

        Only a message that follows the one that was last can say so, so that nothing that others
        append comes between.
        """
        patience = Patience("it is not known where the partition goes on", self.patience_s)
        while True:
            last = self._chart.last(partition)
            end = last.end if last else 0
            if end >= offset:
                return end
            name, at = f"{uuid.uuid4().hex}.0", last.at if last else _LONG_AGO
            one = Sent(marker(partition), offset, last.seq if last else 0, name, at)
            try:
                (spot,) = await self._send([one])
            except (_Raced, Unanswered) as error:
                await patience.pause(error)
                with contextlib.suppress(Unanswered):
                    await self._learn([one])
            else:
                self._chart.note(partition, spot)
                return end

    async def _apart(
        self, parcels: Sequence[Parcel], at: datetime, patience: Patience
    ) -> list[Spot]:
        """Store the partitions beside each other, the parcels of each one by one."""
        spots: dict[int, Spot] = {}

        async def store(numbers: Sequence[int]) -> None:
            for number in numbers:
                (spots[number],) = await self._whole([parcels[number]], at, patience)

        chains: dict[int, list[int]] = {}
        for number, parcel in enumerate(parcels):
            chains.setdefault(parcel.partition, []).append(number)
        ended = await asyncio.gather(*map(store, chains.values()), return_exceptions=True)
        for failed in (one for one in ended if isinstance(one, BaseException)):
            if not spots or not isinstance(failed, StoreError):
                raise failed
            raise StoreError(f"{failed}; a part of the events was stored") from failed
        return [spots[number] for number in range(len(parcels))]

    async def _whole(
        self, parcels: Sequence[Parcel], at: datetime, patience: Patience
    ) -> list[Spot]:
        """Store parcels in one piece, at places that are found anew until nobody else had them."""
        while True:
            sent = self._placed(parcels, at)
            spots = await self._known(sent, patience)
            if spots is not None:
                for one, spot in zip(sent, spots, strict=True):
                    self._chart.note(one.parcel.partition, spot)
                return spots
            await patience.pause("others append to the same partitions all the time")
            await self._learn(sent)

    def _placed(self, parcels: Sequence[Parcel], at: datetime) -> list[Sent]:
        identity = uuid.uuid4().hex
        ends: dict[int, int] = {}
        found: list[Sent] = []
        for number, parcel in enumerate(parcels):
            last = self._chart.last(parcel.partition)
            after = None if parcel.partition in ends else last.seq if last else 0
            offset = ends.get(parcel.partition, last.end if last else 0)
            ends[parcel.partition] = offset + parcel.count
            found.append(Sent(parcel, offset, after, f"{identity}.{number}", at))
        return found

    async def _known(self, sent: Sequence[Sent], patience: Patience) -> list[Spot] | None:
        """Send until it is known what became of it; ``None`` when others came first."""
        unsure = False
        while True:
            try:
                return await self._send(sent)
            except _MEANT_TO_PASS as error:
                if not unsure:
                    raise
                await patience.pause(error)
            except _Raced as error:
                if unsure:
                    await patience.pause(error)
            except Unanswered as error:
                unsure = True
                await patience.pause(error)
            told, unsure = not unsure, True
            try:
                spots = await self._found(sent, told=told)
            except Unanswered:
                continue
            if spots is not None:
                return spots or None

    async def _found(self, sent: Sequence[Sent], *, told: bool) -> list[Spot] | None:
        """Look what is stored where it was to be: all of it, something else (an empty list), or
        not all of it yet (``None``). ``told``: a server has said that it is something else."""
        spots: list[Spot] = []
        behind: dict[int, int | None] = {}
        for one in sent:
            partition = one.parcel.partition
            after = behind[partition] if one.after is None else one.after
            found = None if after is None else await self._stream.next(partition, after + 1)
            behind[partition] = None if found is None else found.spot.seq
            if found is None:
                continue
            if found.spot.id != one.id:
                if spots or (found.spot.offset != one.offset and not told):
                    raise self._in_doubt()
                return []
            spots.append(found.spot)
        return spots if len(spots) == len(sent) else None

    def _in_doubt(self) -> StoreError:
        return StoreError(
            f"{self._stream.link.place}: it is not known whether the events were stored;"
            " send them again, they are recognised by their ids"
        )

    async def _learn(self, sent: Sequence[Sent]) -> None:
        """Learn where the partitions end now, from the leader where nothing was heard of it."""
        for one in sent:
            last = self._chart.last(one.parcel.partition)
            if one.after is not None and (last is None or last.seq <= one.after):
                found = await self._stream.last(one.parcel.partition)
                if found is not None:
                    self._chart.note(one.parcel.partition, found.spot)

    async def _send(self, sent: Sequence[Sent]) -> list[Spot]:
        *before, last = sent
        batch = uuid.uuid4().hex
        for number, one in enumerate(before, 1):
            given = one.headers(self._stream.name) | {_BATCH: batch, _BATCH_SEQUENCE: str(number)}
            await self._stream.link.tell(self._subject(one), one.parcel.body, given)
        given = last.headers(self._stream.name)
        if before:
            given |= {_BATCH: batch, _BATCH_SEQUENCE: str(len(sent)), _BATCH_COMMIT: "1"}
        else:
            given[_MESSAGE_ID] = last.id
        answer = await self._stream.link.ask(self._subject(last), last.parcel.body, given)
        seq = self._acknowledged(answer.data)
        return [one.spot(seq - len(before) + number) for number, one in enumerate(sent)]

    def _subject(self, sent: Sent) -> str:
        return self._stream.subject(sent.parcel.partition)

    def _acknowledged(self, data: bytes) -> int:
        place = self._stream.link.place
        try:
            ack = msgspec.json.decode(data, type=_Ack)
        except msgspec.MsgspecError as error:
            raise Unanswered(f"{place}: an acknowledgement cannot be read: {error}") from error
        if ack.error is None:
            return ack.seq
        if ack.error.err_code in _RACED:
            raise _Raced(
                f"{place}: {ack.error.description}: the partition does not end where it did; if"
                " that stays so, messages were deleted: restore the stream from a backup, or start"
                " Busway anew to go on without them"
            )
        if ack.error.err_code in _UNSURE:
            raise Unanswered(f"{place}: {ack.error.description}")
        raise refusal(place, ack.error)
