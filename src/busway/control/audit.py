"""The audit trail: who changed what, when, and how it was before and after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

import msgspec
from msgspec import Raw

from busway.actor import Actor
from busway.audit_record import AuditRecord
from busway.ports import Ledger

_PAGE = 500
_MAX_SCANNED = 20_000


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody changed: ``actor``, when (``at``), and how the ``target`` was ``before`` and is
    ``after``; ``seq`` rises. ``actor`` is the credential's name, ``remark`` what the caller
    said."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    before: Any = None
    after: Any = None
    reason: str = ""
    remark: str = ""

    @classmethod
    def of(cls, audit: AuditRecord) -> Self:
        """Return what people see of an entry of the ledger's."""
        actor = Actor.parse(audit.actor)
        return cls(
            seq=audit.seq,
            at=audit.at,
            actor=actor.name,
            remark=actor.remark,
            action=audit.action,
            target=audit.target,
            before=_decode_image(audit.before),
            after=_decode_image(audit.after),
            reason=audit.reason,
        )


class AuditPage(msgspec.Struct, frozen=True):
    """Some entries of the trail, the latest first; ``before`` is where the rest begins."""

    entries: Sequence[AuditEntry]
    before: int | None


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: of a ``target`` and all below it (``dead/orders``), of somebody, of an action
    or those that begin with it (``dead``)."""

    target: str = ""
    actor: str | None = None
    action: str | None = None

    def matches(self, entry: AuditRecord) -> bool:
        """Say whether an entry of the target is one of them."""
        action = self.action
        same = action in (None, entry.action) or entry.action.startswith(f"{action} ")
        return self.actor in (None, Actor.parse(entry.actor).name) and same


async def audit_page(
    ledger: Ledger, filter_by: AuditFilter, before: int | None, limit: int
) -> AuditPage:
    """Return up to ``limit`` entries from ``before`` on, the ``seq`` of the last one seen.

    It may be fewer, even none, with a place to go on from, where few are wanted.
    """
    found: list[AuditEntry] = []
    most = min(limit, _PAGE) if filter_by.actor is None and filter_by.action is None else _PAGE
    for _ in range(0, _MAX_SCANNED, _PAGE):
        page = await ledger.audit_records(filter_by.target, before, most)
        wanted = [one for one in page if filter_by.matches(one)]
        room = limit - len(found)
        found += map(AuditEntry.of, wanted[:room])
        if len(wanted) > room:
            return AuditPage(found, found[-1].seq)
        if len(page) < most:
            return AuditPage(found, None)
        before = page[-1].seq
        if len(found) == limit:
            break
    return AuditPage(found, before)


def _decode_image(image: Raw | None) -> Any:
    return None if image is None else msgspec.json.decode(image)
