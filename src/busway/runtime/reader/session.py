"""One worker reads from one source: it appends, then saves the position; a crash repeats none."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from msgspec.structs import replace

from busway.attribute import is_reserved_source, is_reserved_type, length_problem
from busway.bus.dedupe import identity_digests
from busway.bus.group_commit import Appender
from busway.clock import Clock
from busway.control.source.reader import AppendIntent, ReaderFault
from busway.control.source.record import LastRefusal, SourceCounts
from busway.errors import SourceError, SourceGap
from busway.event import Event
from busway.exception_text import exception_text
from busway.ports import (
    Acknowledges,
    Ledger,
    Log,
    ReaderContext,
    ReaderSource,
    RecordRefusal,
    ReportsProgress,
    SourceChunk,
    SourceProgress,
    SourceReading,
)
from busway.runtime.reader.appended import appended_since
from busway.runtime.reader.reader_record import KeptReader, ReaderTaken

SAVE_EVERY_S = 1.0
"""How long after an append the position is saved at the latest."""
QUIET_S = 0.1
"""How long nothing is read before the position is saved at once."""
PROVEN_AFTER_S = 30.0
"""After how long without an error a reader that reads nothing counts as well again."""
REPORT_EVERY_S = 5.0
"""How often it is noted how far behind its source a reader is that reads nothing."""
TOLD_EVERY_S = 1.0
"""How often refused records of a source are logged; all of them are counted."""
MOST_SOURCES = 64
"""The most CloudEvents sources that an intent names; with more it stands for any."""
MAX_CODES = 50
"""How many codes of refusals are counted one by one; those beyond count as ``other``."""
MAX_TEXT_CHARACTERS = 500
"""How much is kept of the text of a refusal."""
INVALID = "invalid-event"
"""The code of events that the bus does not accept."""

_log = structlog.get_logger("busway")


class ReaderObserver(Protocol):
    """Hears of each chunk: events that are durable, and records refused; for telemetry."""

    def read(self, source: str, accepted: int, duplicates: int) -> None: ...

    def refused(self, source: str, code: str, records: int) -> None: ...


class _Silent:
    def read(self, source: str, accepted: int, duplicates: int) -> None: ...

    def refused(self, source: str, code: str, records: int) -> None: ...


class ReaderHost(msgspec.Struct, frozen=True):
    """What every reader of a process shares; ``worker`` is its id among several."""

    log: Log
    ledger: Ledger
    bus: Appender
    clock: Clock
    max_event_bytes: int = 1024 * 1024
    worker: str = ""
    observer: ReaderObserver = _Silent()


class ReaderSession:
    """Reads under the lease of this worker: ``held`` says whether it still has it.

    Before the first append after a quiet time an intent is saved, after the append the position.
    Whoever comes next after a crash finds in the log what was appended since the intent.
    """

    def __init__(self, source: ReaderSource, host: ReaderHost, held: Callable[[], bool]) -> None:
        self._source = source
        self._host = host
        self._held = held
        self._kept = KeptReader(host.ledger, source.name)
        self._reading: SourceReading | None = None
        self._task: asyncio.Task[SourceChunk] | None = None
        self._position: bytes | None = None
        self._counts = SourceCounts()
        self._appended: set[bytes] = set()
        """The identities of events that are in the log and may be read once more."""
        self._uncertain = False
        """Whether an append was begun of which it is not known whether it was stored."""
        self._unsaved_since: float | None = None
        self._taken_at = self._reported_at = self._opened_at = host.clock.monotonic()
        self._proven = False
        self._told_at = float("-inf")

    async def open(self) -> None:
        """Take the reader over from whoever had it, and open the source at its position.

        Raises :class:`SourceGap` again for a gap that nobody has resolved.
        """
        record = await self._kept.load()
        if record.fault is not None and record.fault.gap:
            raise SourceGap(record.fault.text)
        self._position, self._counts = record.position, self._kept.counts
        now = self._host.clock.now()
        record = replace(record, worker=self._host.worker, opened_at=now)
        await self._kept.save(record, self._counts)
        if record.intent is not None:
            self._appended = await appended_since(self._host.log, record.intent, self._source.name)
        context = ReaderContext(self._host.clock)
        self._reading = await self._source.open(context, self._position)
        self._opened_at = self._host.clock.monotonic()

    @property
    def proven(self) -> bool:
        """Whether it reads, or has waited for a while without an error."""
        waited_s = self._host.clock.monotonic() - self._opened_at
        return self._proven or waited_s >= PROVEN_AFTER_S

    def reading(self, on_done: Callable[[], None]) -> asyncio.Task[SourceChunk]:
        """Return the task that reads the next chunk; ``on_done`` is called when it has it."""
        if self._task is None:
            self._task = asyncio.create_task(self._read(), name=self._source.name)
            self._task.add_done_callback(lambda _: on_done())
        return self._task

    async def _read(self) -> SourceChunk:
        if self._reading is None:
            raise SourceError(f"source {self._source.name!r} is not open")
        return await self._reading.read()

    def wait_s(self) -> float | None:
        """Return how long to wait for a chunk before the position is saved; ``None``: no need."""
        if self._unsaved_since is None:
            return None
        due = min(self._unsaved_since + SAVE_EVERY_S, self._taken_at + QUIET_S)
        return max(due - self._host.clock.monotonic(), 0.0)

    async def advance(self) -> None:
        """Append the chunk that was read, if there is one, and save the position if it is time."""
        task = self._task
        if task is not None and task.done():
            self._task = None
            await self._take(task.result())
            if self._overdue():
                await self._save(quiet=False)
        elif self.wait_s() == 0.0 or (self._unsaved_since is None and self._outdated()):
            await self._save(quiet=True)

    async def close(self) -> None:
        """Save the position, and release the source."""
        try:
            if self._unsaved_since is not None or self._is_intent_over():
                await self._save(quiet=True)
        finally:
            await self.release()

    async def release(self) -> None:
        """Release the source; a chunk that was read and not appended is read again later."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
        reading, self._reading = self._reading, None
        if reading is not None:
            with contextlib.suppress(Exception):
                await reading.close()

    async def fail(self, error: Exception) -> None:
        """Save what was appended, and why it does not go on."""
        before, now = self._kept.record.fault, self._host.clock.now()
        if before is not None and before.gap:
            return
        text = exception_text(error)
        fault = ReaderFault(text.name, text.reason, now, now)
        if before is not None:
            fault = replace(fault, since=before.since, failures=before.failures + 1)
        if isinstance(error, SourceGap):
            fault = replace(fault, gap=True, continue_at=error.continue_at)
        await self._save(quiet=True, fault=fault)

    async def _take(self, chunk: SourceChunk) -> None:
        _check_chunk(chunk)
        wrong = [(event, self._wrong(event)) for event in chunk.events]
        events = [event for event, reason in wrong if not reason]
        refused = [RecordRefusal(INVALID, reason) for _, reason in wrong if reason]
        self._refuse([*chunk.refused, *refused])
        if events:
            await self._append(events)
        changed = chunk.position != self._position or events or chunk.refused
        self._position, self._proven = chunk.position, True
        self._taken_at = self._host.clock.monotonic()
        if self._unsaved_since is None and changed:
            self._unsaved_since = self._taken_at
        if isinstance(self._reading, Acknowledges):
            await self._reading.acknowledge(chunk.position)

    async def _append(self, events: Sequence[Event]) -> None:
        """Append the events that are not in the log yet; durable when it returns."""
        digests = identity_digests([event.envelope for event in events])
        known = self._appended.intersection(digests)
        if not known:  # what was appended before the crash comes first: nothing more of it follows
            self._appended = set()
        fresh = [
            event for event, digest in zip(events, digests, strict=True) if digest not in known
        ]
        self._appended -= known
        accepted, duplicates = len(known), 0
        if fresh:
            await self._declare({event.source for event in fresh})
            if not self._held():
                raise ReaderTaken("the lease was lost")
            await self._host.bus.load_recent()
            self._uncertain = True
            appended = await self._host.bus.append(
                [event.to_json() for event in fresh], [event.envelope for event in fresh]
            )
            self._uncertain = False
            accepted += appended.accepted
            duplicates = appended.duplicates
        self._host.observer.read(self._source.name, accepted, duplicates)
        self._counts += SourceCounts(
            accepted=accepted, duplicates=duplicates, received_at=self._host.clock.now()
        )

    async def _declare(self, sources: set[str]) -> None:
        """Save the intent to append events of these CloudEvents sources, unless it is saved."""
        record = self._kept.record
        intent = record.intent or AppendIntent(await self._ends())
        if record.intent is not None:
            if not intent.sources or sources.issubset(intent.sources):
                return
            sources = sources.union(intent.sources)
        named = tuple(sorted(sources)) if len(sources) <= MOST_SOURCES else ()
        await self._kept.save(replace(record, intent=replace(intent, sources=named)), self._counts)

    async def _save(self, *, quiet: bool, fault: ReaderFault | None = None) -> None:
        """Save the position; with an intent from here on unless it is ``quiet`` now."""
        record = self._kept.record
        intent = record.intent
        if self._is_intent_over() and intent is not None:
            intent = None if quiet else replace(intent, ends=await self._ends())
        progress = self._progress()
        record = replace(
            record,
            position=self._position,
            intent=intent,
            saved_at=self._host.clock.now(),
            fault=fault if fault is not None or self.proven else record.fault,
            next_at=progress.next_at,
            lag=progress.lag,
        )
        await self._kept.save(record, self._counts)
        self._unsaved_since, self._reported_at = None, self._host.clock.monotonic()

    def _overdue(self) -> bool:
        """Say whether the position is to be saved though more is there to read."""
        since = self._unsaved_since
        return since is not None and self._host.clock.monotonic() - since >= SAVE_EVERY_S

    def _is_intent_over(self) -> bool:
        """Say whether the position, once it is saved, covers all that was appended."""
        is_certain = not self._appended and not self._uncertain
        return is_certain and self._kept.record.intent is not None

    def _outdated(self) -> bool:
        """Say whether the record is not what it should be by now."""
        record = self._kept.record
        if self._is_intent_over() or (record.fault is not None and self.proven):
            return True
        if self._host.clock.monotonic() - self._reported_at < REPORT_EVERY_S:
            return False
        return self._progress() != SourceProgress(record.next_at, record.lag)

    def _progress(self) -> SourceProgress:
        if isinstance(self._reading, ReportsProgress):
            return self._reading.progress()
        return SourceProgress()

    async def _ends(self) -> tuple[int, ...]:
        log = self._host.log
        return tuple([(await log.bounds(number)).end for number in range(log.partitions)])

    def _refuse(self, refused: Sequence[RecordRefusal]) -> None:
        """Count what is no event, and log it, at most once a second."""
        if not refused:
            return
        last, counter = refused[-1], Counter[str]()
        known = self._counts.refused.keys()
        for refusal in refused:
            is_counted = refusal.code in known or len(known | counter.keys()) < MAX_CODES
            counter[refusal.code if is_counted else "other"] += refusal.count
        for code, count in counter.items():
            self._host.observer.refused(self._source.name, code, count)
        text = last.detail[:MAX_TEXT_CHARACTERS]
        refused_last = LastRefusal(self._host.clock.now(), last.code, text)
        self._counts += SourceCounts(refused=counter, last_refusal=refused_last)
        if self._host.clock.monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = self._host.clock.monotonic()
            _log.warning(
                "records refused",
                source=self._source.name,
                code=last.code,
                reason=text,
                records=counter.total(),
            )

    def _wrong(self, event: Event) -> str:
        """Return why the bus does not accept an event, if it does not."""
        envelope = event.envelope
        for name in ("id", "source", "type", "subject", "partitionkey"):
            if reason := length_problem(name, getattr(envelope, name)):
                return reason
        if is_reserved_type(envelope.type) or is_reserved_source(envelope.source):
            return f"the type {envelope.type!r} or the source {envelope.source!r} is Busway's own"
        size, most = len(event.to_json()), self._host.max_event_bytes
        return f"event {envelope.id!r} has {size} bytes; at most {most}" if size > most else ""


def _check_chunk(chunk: object) -> None:
    """Raise :class:`SourceError` if the ledger could not return the position as it was."""
    if not isinstance(chunk, SourceChunk):
        raise SourceError(f"read() returned {type(chunk).__name__}; return a SourceChunk")
    if not isinstance(chunk.position, bytes):
        kind = type(chunk.position).__name__
        raise SourceError(f"the position of a SourceChunk is {kind}; encode it as bytes")
