"""Take an installation into a stream, with its ledger in PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from busway.engine.jetstream.check import check_server
from busway.engine.jetstream.link import Link, Unanswered
from busway.engine.jetstream.log import JetStreamLog
from busway.engine.jetstream.parcel import Sent, packed, parcels, room_for
from busway.engine.jetstream.patience import Patience
from busway.engine.jetstream.place import Place
from busway.engine.jetstream.prepare import adopt, holds, open_up, standing, used
from busway.engine.jetstream.stream import Fault, Stream, refusal
from busway.engine.postgres.ledger import PostgresLedger
from busway.engine.postgres.moving import ImportingLedger, begin_ledger, standing_of
from busway.errors import Conflict
from busway.ports import Batch, Draft
from busway.ports.moving import Move, Receiving, Standing
from busway.settings import Settings

_RACED = (10071, 10164)
_BATCH = "Nats-Batch-Id"
_BATCH_SEQUENCE = "Nats-Batch-Sequence"
_BATCH_COMMIT = "Nats-Batch-Commit"
_WINDOW_BYTES = 8 * 1024 * 1024
_WINDOW_MESSAGES = 128


class _Ack(msgspec.Struct, frozen=True):
    seq: int = 0
    error: Fault | None = None


class _Behind(Unanswered):
    """A message before it was not stored, or is not where it was expected."""


class JetStreamTarget:
    """A stream for the log, a database for the ledger."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._place = Place.of(settings.engine)

    @property
    def name(self) -> str:
        return str(self._place)

    async def standing(self) -> Standing:
        found = await standing_of(self._settings.ledger, log_elsewhere=True)
        if found.used:
            return found
        link = await Link.open(self._place)
        try:
            identity = None if found.move is None else found.move.identity
            reason = await standing(Stream(link), identity)
            here = reason or identity is None or await holds(Stream(link), identity)
        finally:
            await link.close()
        return Standing(used=reason) if reason else Standing(found.move, elsewhere=not here)

    async def begin(self, move: Move, bases: Sequence[int]) -> Receiving:
        ledger, _ = await begin_ledger(self._settings, move, log_elsewhere=True)
        try:
            await self._adopt(move, len(bases))
            limits = (0, self._settings.max_event_bytes)
            log = await ReceivingLog.open(self._place, len(bases), *limits)
            try:
                await log.begin_at(bases)
            except BaseException:
                await log.close()
                raise
        except BaseException:
            await ledger.close()
            raise
        return JetStreamReceiving(log, ledger)

    async def _adopt(self, move: Move, partitions: int) -> None:
        link = await Link.open(self._place)
        try:
            await check_server(link, self._settings.max_event_bytes)
            await adopt(Stream(link), move.identity, partitions)
        finally:
            await link.close()


class JetStreamReceiving:
    """A stream and a ledger that take an installation."""

    def __init__(self, log: ReceivingLog, owner: PostgresLedger) -> None:
        self.log = log
        self._owner = owner
        self.ledger = ImportingLedger.over(owner)

    async def append(self, batches: Sequence[Batch]) -> None:
        await self.log.place(batches)

    async def open_up(self) -> None:
        await self.log.open_up()

    async def close(self) -> None:
        try:
            await self.log.close()
        finally:
            await self._owner.close()


class ReceivingLog(JetStreamLog):
    """A log into which batches are put at their places, many at a time on their way."""

    async def begin_at(self, bases: Sequence[int]) -> None:
        """Have each partition that ends before its base begin there, anew."""
        for partition, base in enumerate(bases):
            if await self.continue_at(partition, base) < base:
                await self.trim(partition, base)

    async def place(self, batches: Sequence[Batch]) -> None:
        """Store batches of one partition behind each other."""
        partition = batches[0].partition
        await self.bounds(partition)
        last = self._chart.last(partition)
        if (last.end if last else 0) != batches[0].offset:
            raise Conflict(f"{self._place}: somebody else appends to it; stop that")
        for window in _windows(self._sent(batches)):
            await self._store(window)

    async def open_up(self) -> None:
        """Let it be opened as any other."""
        await open_up(self._stream)

    def _sent(self, batches: Sequence[Batch]) -> Iterator[Sent]:
        link = self._stream.link
        name = uuid.uuid4().hex
        number = 0
        for batch in batches:
            draft, offset = Draft(batch.partition, batch.events), batch.offset
            made = parcels([draft], link.max_payload)
            for parcel in packed(made) if link.place.compress else made:
                if (needed := room_for(min(parcel.size, len(parcel.body)))) > link.max_payload:
                    raise Conflict(
                        f"{link.place}: the event at offset {offset} of partition"
                        f" {batch.partition} is too large for messages of {link.max_payload} bytes;"
                        f" set max_payload to {needed} or more (8MB is good) on the servers"
                    )
                yield Sent(parcel, offset, 0, f"{name}.{number}", batch.appended_at)
                offset, number = offset + parcel.count, number + 1

    async def _store(self, window: Sequence[Sent]) -> None:
        """Send messages of one partition without waiting for each; again what was not stored."""
        patience = Patience("it is not known whether they were stored")
        while window:
            try:
                if self._publisher.atomic and len(window) > 1:
                    await self._send_together(window)
                else:
                    expected = await self._expected(window)
                    await _all(self._send(one) for one in expected)
            except Unanswered as error:
                await patience.pause(error)
            try:
                window = await self._left(window)
            except Unanswered as error:
                await patience.pause(error)

    async def _expected(self, window: Sequence[Sent]) -> list[Sent]:
        """Have each follow the one before: nobody else appends, so that sequences are known."""
        last = self._chart.last(window[0].parcel.partition)
        after = last.seq if last else 0
        seq = (await self._stream.info()).state.last_seq
        found = []
        for one in window:
            found.append(msgspec.structs.replace(one, after=after))
            seq += 1
            after = seq
        return found

    async def _send_together(self, window: Sequence[Sent]) -> None:
        """Send messages of one partition that are stored all or none, with one sync."""
        subject = self._stream.subject(window[0].parcel.partition)
        last = self._chart.last(window[0].parcel.partition)
        batch = {_BATCH: uuid.uuid4().hex}
        for number, one in enumerate(window[:-1], 1):
            after = None if number > 1 else last.seq if last else 0
            given = msgspec.structs.replace(one, after=after).headers(self._stream.name)
            given |= batch | {_BATCH_SEQUENCE: str(number)}
            await self._stream.link.tell(subject, one.parcel.body, given)
        ended = batch | {_BATCH_SEQUENCE: str(len(window)), _BATCH_COMMIT: "1"}
        await self._send(msgspec.structs.replace(window[-1], after=None), ended)

    async def _send(self, one: Sent, more: Mapping[str, str] = MappingProxyType({})) -> None:
        subject = self._stream.subject(one.parcel.partition)
        given = one.headers(self._stream.name) | dict(more)
        answer = await self._stream.link.ask(subject, one.parcel.body, given)
        try:
            ack = msgspec.json.decode(answer.data, type=_Ack)
        except msgspec.MsgspecError as error:
            raise Unanswered(f"{self._place}: an acknowledgement cannot be read") from error
        if ack.error is not None and ack.error.err_code in _RACED:
            raise _Behind(f"{self._place}: {ack.error.description}")
        if ack.error is not None:
            raise refusal(self._place, ack.error)
        self._chart.note(one.parcel.partition, one.spot(ack.seq))

    async def _left(self, window: Sequence[Sent]) -> Sequence[Sent]:
        """Return what is not stored yet, by what the leader has last."""
        partition = window[0].parcel.partition
        found = await self._stream.last(partition)
        if found is None:
            return window
        self._chart.note(partition, found.spot)
        here = next((n for n, one in enumerate(window, 1) if one.id == found.spot.id), None)
        if here is None and found.spot.end != window[0].offset and window[0].parcel.count:
            raise Conflict(used(self._stream.link.place))
        return window[here or 0 :]


async def _all(sending: Iterable[Coroutine[object, object, None]]) -> None:
    """Wait for all of them; raise what one failed with, rather what is no matter of order."""
    failed = [one for one in await asyncio.gather(*sending, return_exceptions=True) if one]
    if failed:
        raise next((one for one in failed if not isinstance(one, _Behind)), failed[0])


def _windows(sent: Iterable[Sent]) -> Iterator[list[Sent]]:
    window: list[Sent] = []
    size = 0
    for one in sent:
        window.append(one)
        size += len(one.parcel.body)
        if size > _WINDOW_BYTES or len(window) == _WINDOW_MESSAGES:
            yield window
            window, size = [], 0
    if window:
        yield window
