"""The audit trail: who changed what, when, and how it was before and after."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.lane import Audit
from busway.ports import Ledger

_PAGE = 500
_MOST_LOOKED = 20_000


class Trail(msgspec.Struct, frozen=True):
    """Some entries of the trail, the latest first; ``before`` is where the rest begins."""

    entries: Sequence[Audit]
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
        return self.who in (None, entry.who) and same


async def trail(ledger: Ledger, about: About, before: int | None, limit: int) -> Trail:
    """Return up to ``limit`` entries from ``before`` on, the ``seq`` of the last one seen.

    It may be fewer, even none, with a place to go on from, where few are wanted.
    """
    found: list[Audit] = []
    most = min(limit, _PAGE) if about.who is None and about.action is None else _PAGE
    for _ in range(0, _MOST_LOOKED, _PAGE):
        page = await ledger.audits(about.target, before, most)
        wanted = [one for one in page if about.wants(one)]
        room = limit - len(found)
        found += wanted[:room]
        if len(wanted) > room:
            return Trail(found, found[-1].seq)
        if len(page) < most:
            return Trail(found, None)
        before = page[-1].seq
        if len(found) == limit:
            break
    return Trail(found, before)
