"""The audit trail: who changed what and when, with the state before and after."""

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
    """A change of a ``target`` by an ``actor``, with its state ``before`` and ``after``.

    ``seq`` increases with each entry. ``actor`` is the name of the credential, ``remark`` is the
    text that the caller added.
    """

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
        """Return the public form of a record of the ledger."""
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
    """A page of the trail, the latest entry first; the rest begins at ``before``."""

    entries: Sequence[AuditEntry]
    before: int | None


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects entries by a ``target`` and all below it (``dead/orders``), by an ``actor``, and by
    an ``action`` or its first word (``dead``)."""

    target: str = ""
    actor: str | None = None
    action: str | None = None

    def matches(self, entry: AuditRecord) -> bool:
        """Return whether an entry of the target is selected."""
        action = self.action
        same = action in (None, entry.action) or entry.action.startswith(f"{action} ")
        return self.actor in (None, Actor.parse(entry.actor).name) and same


async def audit_page(
    ledger: Ledger, filter_by: AuditFilter, before: int | None, limit: int
) -> AuditPage:
    """Return up to ``limit`` entries that come before the ``seq`` ``before``.

    The page may be smaller or empty and still have a ``before``, if few entries are selected.
    """
    entries: list[AuditEntry] = []
    page_size = min(limit, _PAGE) if filter_by.actor is None and filter_by.action is None else _PAGE
    for _ in range(0, _MAX_SCANNED, _PAGE):
        page = await ledger.audit_records(filter_by.target, before, page_size)
        matching = [record for record in page if filter_by.matches(record)]
        room = limit - len(entries)
        entries += map(AuditEntry.of, matching[:room])
        if len(matching) > room:
            return AuditPage(entries, entries[-1].seq)
        if len(page) < page_size:
            return AuditPage(entries, None)
        before = page[-1].seq
        if len(entries) == limit:
            break
    return AuditPage(entries, before)


def _decode_image(image: Raw | None) -> Any:
    return None if image is None else msgspec.json.decode(image)
