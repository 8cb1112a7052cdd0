"""The ports for moving an installation from one engine to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, get_args, runtime_checkable

import msgspec

from busway.audit_record import AuditRecord
from busway.failed_event import FailedEvent, ResolvedEvent
from busway.lane import Lane
from busway.named_value import NamedValue
from busway.ports.ledger import Ledger
from busway.ports.log import Log, LogBatch
from busway.ports.store import StoreOptions
from busway.settlement import SettledRange

MOVE_KEY = "move"
"""The named value in which a ledger stores the move into it."""
LOG_IDENTITY_KEY = "log"
"""The named value in which a ledger stores the identity of its log, if that is elsewhere."""


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
    """How far a ledger's records were read: up to the record of ``kind`` with key ``after``."""

    kind: RecordKind = RECORD_KINDS[0]
    after: RecordKey = _FIRST_KEYS[RECORD_KINDS[0]]


def next_bookmark(kind: RecordKind) -> Bookmark | None:
    """Return the bookmark before the first record of the next kind, ``None`` after the last kind.

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
    """Records of one kind, in order, and where to continue: ``None`` after the last page."""

    kind: RecordKind
    records: Sequence[LedgerRecord]
    next: Bookmark | None


class Move(msgspec.Struct, frozen=True):
    """The state of a move, stored in its target from the start.

    ``identity`` is the log's, ``origin`` the name of the place it comes from, and
    ``origin_digest`` the digest of the origin's ledger when the copying of its records began.
    ``bookmark`` is how far the records were copied, ``None`` if all are. A move without
    ``finished_at`` is unfinished.
    """

    id: str
    identity: str
    origin: str
    started_at: datetime
    origin_digest: str = ""
    bookmark: Bookmark | None = Bookmark()
    finished_at: datetime | None = None


class MovedMarker(msgspec.Struct, frozen=True):
    """The marker left in an installation that was moved: by which move, where to, and when."""

    id: str
    destination: str
    moved_at: datetime


class TargetState(msgspec.Struct, frozen=True):
    """The state of a target: the move into it, or why it cannot be used; neither if it is unused.

    ``log_missing`` is true if only the ledger of that move exists, without its log.
    """

    move: Move | None = None
    conflict: str = ""
    log_missing: bool = False


class ExportableLedger(Ledger, Protocol):
    """A ledger that can export all its records."""

    async def export(self, after: Bookmark, max_bytes: int) -> ExportPage:
        """Return records of the bookmark's kind that follow it, at least one if there is one.

        Further records follow while they fit into ``max_bytes``. Failed events are sorted by flow,
        partition and offset, settled ranges by flow, partition and start, resolved events and
        audit records by insertion.
        """
        ...

    async def sizes(self) -> Mapping[RecordKind, int]:
        """Count the records of each kind."""
        ...


class ImportableLedger(ExportableLedger, Protocol):
    """A ledger that imports the records of another one, while nothing else uses it."""

    async def import_page(self, page: ExportPage, expected: Move, move: Move) -> bool:
        """Add records and store ``move``, in one transaction, if the stored move is ``expected``.

        Otherwise returns false and adds nothing. Audit records keep their ``seq``.
        """
        ...

    async def clear(self, expected: Move, move: Move) -> bool:
        """Delete all records and store ``move``, if the stored move is ``expected``."""
        ...


class MoveOrigin(Protocol):
    """An installation to be moved; no other process has it open."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Log: ...

    @property
    def ledger(self) -> ExportableLedger: ...

    @property
    def moved_to(self) -> MovedMarker | None:
        """The marker of an earlier move, if there was one."""
        ...

    async def mark_moved(self, moved: MovedMarker) -> None:
        """Store the marker; from then on the installation cannot be opened."""
        ...

    async def close(self) -> None: ...


class MoveReceiver(Protocol):
    """An opened target that receives an installation, marked with the move and its log identity."""

    @property
    def log(self) -> Log: ...

    @property
    def ledger(self) -> ImportableLedger: ...

    async def append(self, batches: Sequence[LogBatch]) -> None:
        """Store batches of one partition with their offsets and times; durable on return.

        Raises :class:`Conflict` unless the first batch starts where the partition ends. A batch too
        large for the engine is split. After a :class:`StoreError` some batches may be stored.
        """
        ...

    async def finish(self) -> None:
        """Mark the log as complete, so that it can be opened like any other."""
        ...

    async def close(self) -> None: ...


class MoveTarget(Protocol):
    """A place to which an installation can be moved; nothing is created before ``begin``."""

    @property
    def name(self) -> str: ...

    async def inspect(self) -> TargetState:
        """Return the state of the target. Raises :class:`StoreError` if it is unavailable."""
        ...

    async def begin(self, move: Move, bases: Sequence[int]) -> MoveReceiver:
        """Begin a move into an unused target, or continue the unfinished move that is there.

        The log gets the identity of the move and starts at ``bases``, one offset per partition; a
        partition that ends before its base restarts at it. Raises :class:`Conflict` if the target
        is in use for something else.
        """
        ...


@runtime_checkable
class AcceptsMoves(Protocol):
    """An engine that an installation can be moved to."""

    def move_target(self, options: StoreOptions) -> MoveTarget:
        """Return the place that the options name; nothing is opened yet.

        Raises :class:`busway.errors.SettingsError` for options that can never work.
        """
        ...
