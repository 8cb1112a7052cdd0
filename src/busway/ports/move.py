"""What moving an installation from one engine to another asks of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, get_args

import msgspec

from busway.lane import AuditRecord, FailedEvent, Lane, ResolvedEvent, SettledRange
from busway.ports.ledger import Ledger
from busway.ports.log import Log, LogBatch

MOVE_KEY = "move"
"""The named value in which a ledger keeps the move into it."""
LOG_IDENTITY_KEY = "log"
"""The named value in which a ledger keeps which log it belongs to, where that is elsewhere."""


class NamedValue(msgspec.Struct, frozen=True):
    """A named value."""

    name: str
    value: bytes


LedgerRecord = Lane | FailedEvent | SettledRange | ResolvedEvent | AuditRecord | NamedValue
RecordKind = Literal[
    "lanes", "failed_events", "settled_ranges", "resolved_events", "audit_records", "values"
]
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)
"""The kinds of a ledger's records, in the order in which they are moved."""
RecordKey = tuple[str | int, ...]
_FIRST_KEYS: Mapping[RecordKind, RecordKey] = {
    "lanes": ("", -1),
    "failed_events": ("", -1, -1),
    "settled_ranges": ("", -1, -1),
    "resolved_events": (0,),
    "audit_records": (0,),
    "values": ("",),
}


class Bookmark(msgspec.Struct, frozen=True):
    """How far a ledger's records were read: up to the one of a kind with the key ``after``."""

    kind: RecordKind = RECORD_KINDS[0]
    after: RecordKey = _FIRST_KEYS[RECORD_KINDS[0]]


def next_bookmark(kind: RecordKind) -> Bookmark | None:
    """Return the bookmark before the first record of the kind that comes after one.

    >>> next_bookmark("lanes").kind, next_bookmark("values")
    ('failed_events', None)
    """
    number = RECORD_KINDS.index(kind) + 1
    return (
        None
        if number == len(RECORD_KINDS)
        else Bookmark(RECORD_KINDS[number], _FIRST_KEYS[RECORD_KINDS[number]])
    )


class ExportPage(msgspec.Struct, frozen=True):
    """Records of one kind, in order, and where to go on: ``None`` when nothing comes any more."""

    kind: RecordKind
    records: Sequence[LedgerRecord]
    next: Bookmark | None


class Move(msgspec.Struct, frozen=True):
    """A move as its target keeps it, from its beginning on.

    ``identity`` is that of the log, ``origin`` the place it comes from, ``origin_digest`` stands
    for what the origin's ledger held when its records were begun to be taken; ``bookmark`` is how
    far they were, ``None`` when all are there. Without ``finished_at`` it is unfinished.
    """

    id: str
    identity: str
    origin: str
    started_at: datetime
    origin_digest: str = ""
    bookmark: Bookmark | None = Bookmark()
    finished_at: datetime | None = None


class MovedMarker(msgspec.Struct, frozen=True):
    """What is kept in a place that was moved elsewhere: by which move, where to, and when."""

    id: str
    destination: str
    moved_at: datetime


class TargetState(msgspec.Struct, frozen=True):
    """How a target stands: the move into it, or why it cannot be used; neither: never used.

    ``log_missing`` is whether the log of that move is not there, only its ledger.
    """

    move: Move | None = None
    conflict: str = ""
    log_missing: bool = False


class ExportableLedger(Ledger, Protocol):
    """A ledger that can hand out everything it keeps."""

    async def export(self, after: Bookmark, max_bytes: int) -> ExportPage:
        """Return records of the bookmark's kind after it, one at least where there is one.

        More of them come while they fit ``max_bytes``. Troubles come by flow, partition and
        offset, settled ranges by flow, partition and start, resolved ones and audits as they came.
        """
        ...

    async def sizes(self) -> Mapping[RecordKind, int]:
        """Count the records of each kind."""
        ...


class ImportableLedger(ExportableLedger, Protocol):
    """A ledger that takes what another one kept. Nobody else uses it meanwhile."""

    async def import_page(self, page: ExportPage, expected: Move, move: Move) -> bool:
        """Add records and keep ``move``, in one transaction, where the move kept is ``expected``.

        False where it is another one: then nothing is added. Audits keep their ``seq``.
        """
        ...

    async def clear(self, expected: Move, move: Move) -> bool:
        """Forget everything but ``move``, which is kept where the move kept is ``expected``."""
        ...


class MoveOrigin(Protocol):
    """An installation that nobody else has open, to be moved."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Log: ...

    @property
    def ledger(self) -> ExportableLedger: ...

    @property
    def moved_to(self) -> MovedMarker | None:
        """Where it was moved already."""
        ...

    async def mark_moved(self, moved: MovedMarker) -> None:
        """Keep that it was moved: from then on it is not opened as it was."""
        ...

    async def close(self) -> None: ...


class MoveReceiver(Protocol):
    """A target that takes an installation: opened, marked with the move, and of the identity."""

    @property
    def log(self) -> Log: ...

    @property
    def ledger(self) -> ImportableLedger: ...

    async def append(self, batches: Sequence[LogBatch]) -> None:
        """Store batches of one partition at their offsets, with their times; durable on return.

        The first begins where the partition ends; else raises :class:`Conflict`. What is too large
        for the engine becomes several batches. After a :class:`StoreError` some may be stored.
        """
        ...

    async def finish(self) -> None:
        """Let the log be opened as any other: all of it is there."""
        ...

    async def close(self) -> None: ...


class MoveTarget(Protocol):
    """A place to which an installation can be moved; nothing is made there before ``begin``."""

    @property
    def name(self) -> str: ...

    async def inspect(self) -> TargetState:
        """Look what is there. Raises :class:`StoreError` when that cannot be seen now."""
        ...

    async def begin(self, move: Move, bases: Sequence[int]) -> MoveReceiver:
        """Take the move: a new one where nothing is there, or go on with the one that is there.

        The log gets the identity of the move, and begins at ``bases``, one for each partition; a
        partition that ends before its base begins there anew.
        Raises :class:`Conflict` when the target is used by something else.
        """
        ...
