"""What moving an installation from one engine to another asks of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, get_args

import msgspec

from busway.lane import Audit, Lane, Resolved, Settled, Trouble
from busway.ports.ledger import Ledger
from busway.ports.log import Batch, Log

MOVE = "move"
"""The named value in which a ledger keeps the move into it."""
BELONGS_TO = "log"
"""The named value in which a ledger keeps which log it belongs to, where that is elsewhere."""


class Value(msgspec.Struct, frozen=True):
    """A named value."""

    name: str
    value: bytes


Record = Lane | Trouble | Settled | Resolved | Audit | Value
Kind = Literal["lanes", "troubles", "settled", "resolved", "audits", "values"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds of a ledger's records, in the order in which they are moved."""
Key = tuple[str | int, ...]
_BEFORE_ALL: Mapping[Kind, Key] = {
    "lanes": ("", -1),
    "troubles": ("", -1, -1),
    "settled": ("", -1, -1),
    "resolved": (0,),
    "audits": (0,),
    "values": ("",),
}


class Bookmark(msgspec.Struct, frozen=True):
    """How far a ledger's records were read: up to the one of a kind with the key ``after``."""

    kind: Kind = KINDS[0]
    after: Key = _BEFORE_ALL[KINDS[0]]


def beyond(kind: Kind) -> Bookmark | None:
    """Return the bookmark before the first record of the kind that comes after one.

    >>> beyond("lanes").kind, beyond("values")
    ('troubles', None)
    """
    number = KINDS.index(kind) + 1
    return None if number == len(KINDS) else Bookmark(KINDS[number], _BEFORE_ALL[KINDS[number]])


class Portion(msgspec.Struct, frozen=True):
    """Records of one kind, in order, and where to go on: ``None`` when nothing comes any more."""

    kind: Kind
    records: Sequence[Record]
    next: Bookmark | None


class Move(msgspec.Struct, frozen=True):
    """A move as its target keeps it, from its beginning on.

    ``identity`` is that of the log, ``origin`` the place it comes from, ``seen`` stands for what
    the origin's ledger held when its records were begun to be taken; ``bookmark`` is how far they
    were, ``None`` when all are there. Without ``ended_at`` it is unfinished.
    """

    id: str
    identity: str
    origin: str
    begun_at: datetime
    seen: str = ""
    bookmark: Bookmark | None = Bookmark()
    ended_at: datetime | None = None


class Moved(msgspec.Struct, frozen=True):
    """What is kept in a place that was moved elsewhere: by which move, where to, and when."""

    id: str
    to: str
    at: datetime


class Standing(msgspec.Struct, frozen=True):
    """How a target stands: the move into it, or why it cannot be used; neither: never used.

    ``elsewhere`` is whether the log of that move is not there, only its ledger.
    """

    move: Move | None = None
    used: str = ""
    elsewhere: bool = False


class Exporting(Ledger, Protocol):
    """A ledger that can hand out everything it keeps."""

    async def export(self, after: Bookmark, max_bytes: int) -> Portion:
        """Return records of the bookmark's kind after it, one at least where there is one.

        More of them come while they fit ``max_bytes``. Troubles come by flow, partition and
        offset, settled ranges by flow, partition and start, resolved ones and audits as they came.
        """
        ...

    async def sizes(self) -> Mapping[Kind, int]:
        """Count the records of each kind."""
        ...


class Importing(Exporting, Protocol):
    """A ledger that takes what another one kept. Nobody else uses it meanwhile."""

    async def take(self, portion: Portion, expected: Move, move: Move) -> bool:
        """Add records and keep ``move``, in one transaction, where the move kept is ``expected``.

        False where it is another one: then nothing is added. Audits keep their ``seq``.
        """
        ...

    async def empty(self, expected: Move, move: Move) -> bool:
        """Forget everything but ``move``, which is kept where the move kept is ``expected``."""
        ...


class Origin(Protocol):
    """An installation that nobody else has open, to be moved."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Log: ...

    @property
    def ledger(self) -> Exporting: ...

    @property
    def moved(self) -> Moved | None:
        """Where it was moved already."""
        ...

    async def mark(self, moved: Moved) -> None:
        """Keep that it was moved: from then on it is not opened as it was."""
        ...

    async def close(self) -> None: ...


class Receiving(Protocol):
    """A target that takes an installation: opened, marked with the move, and of the identity."""

    @property
    def log(self) -> Log: ...

    @property
    def ledger(self) -> Importing: ...

    async def append(self, batches: Sequence[Batch]) -> None:
        """Store batches of one partition at their offsets, with their times; durable on return.

        The first begins where the partition ends; else raises :class:`Conflict`. What is too large
        for the engine becomes several batches. After a :class:`StoreError` some may be stored.
        """
        ...

    async def open_up(self) -> None:
        """Let the log be opened as any other: all of it is there."""
        ...

    async def close(self) -> None: ...


class Target(Protocol):
    """A place to which an installation can be moved; nothing is made there before ``begin``."""

    @property
    def name(self) -> str: ...

    async def standing(self) -> Standing:
        """Look what is there. Raises :class:`StoreError` when that cannot be seen now."""
        ...

    async def begin(self, move: Move, bases: Sequence[int]) -> Receiving:
        """Take the move: a new one where nothing is there, or go on with the one that is there.

        The log gets the identity of the move, and begins at ``bases``, one for each partition; a
        partition that ends before its base begins there anew.
        Raises :class:`Conflict` when the target is used by something else.
        """
        ...
