"""The audit trail: who changed what, when, and how it was before and after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

import msgspec
from msgspec import Raw

from busway.actor import Actor
from busway.lane import Audit
from busway.ports import Ledger

_PAGE = 500
_MOST_LOOKED = 20_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody changed: ``who``, when (``at``), and how the ``target`` was ``before`` and is
    ``after``; ``seq`` rises. ``who`` is the credential's name, ``remark`` what the caller said."""

    seq: int
    at: datetime
    who: str
    action: str
    target: str
    before: Any = None
    after: Any = None
    reason: str = ""
    remark: str = ""

    @classmethod
    def of(cls, audit: Audit) -> Self:
        """Return what people see of an entry of the ledger's."""
        actor = Actor.parse(audit.who)
        return cls(
            seq=audit.seq,
            at=audit.at,
            who=actor.name,
            remark=actor.remark,
            action=audit.action,
            target=audit.target,
            before=_decoded(audit.before),
            after=_decoded(audit.after),
            reason=audit.reason,
        )


class Trail(msgspec.Struct, frozen=True):
    """Some entries of the trail, the latest first; ``before`` is where the rest begins."""

    entries: Sequence[Entry]
    before: int | None


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: of a ``target`` and all below it (``dead/orders``), of somebody, of an action
    or those that begin with it (``dead``)."""

    target: str = ""
    who: str | None = None
    action: str | None = None

    def wants(self, entry: Audit) -> bool:
        """Say whether an entry of the target is one of them."""
        action = self.action
        same = action in (None, entry.action) or entry.action.startswith(f"{action} ")
        return self.who in (None, Actor.parse(entry.who).name) and same


async def trail(ledger: Ledger, about: About, before: int | None, limit: int) -> Trail:
    """Return up to ``limit`` entries from ``before`` on, the ``seq`` of the last one seen.

    It may be fewer, even none, with a place to go on from, where few are wanted.
    """
    found: list[Entry] = []
    most = min(limit, _PAGE) if about.who is None and about.action is None else _PAGE
    for _ in range(0, _MOST_LOOKED, _PAGE):
        page = await ledger.audits(about.target, before, most)
        wanted = [one for one in page if about.wants(one)]
        room = limit - len(found)
        found += map(Entry.of, wanted[:room])
        if len(wanted) > room:
            return Trail(found, found[-1].seq)
        if len(page) < most:
            return Trail(found, None)
        before = page[-1].seq
        if len(found) == limit:
            break
    return Trail(found, before)


def _decoded(image: Raw | None) -> Any:
    return None if image is None else msgspec.json.decode(image)
