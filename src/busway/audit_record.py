"""The audit trail: what people changed."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Raw


class AuditRecord(msgspec.Struct, frozen=True):
    """A change by a person: who changed what, when, and its JSON before and after.

    ``target`` is a path like ``flow/orders`` or ``dead/orders``; the ledger assigns ``seq``, which
    increases.
    """

    at: datetime
    actor: str
    action: str
    target: str
    before: Raw | None = None
    after: Raw | None = None
    reason: str = ""
    seq: int = 0
