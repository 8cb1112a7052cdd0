"""``busway audit``: who changed what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from busway.control.audit import AuditEntry, AuditFilter, audit_page
from busway.control.field import argument, option
from busway.control.operation import Command, OperationContext, http, operation
from busway.control.page import Page, PageRequest, cursor_of, place_in

_ENTRY = AuditEntry(
    seq=42,
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    actor="api-token",
    remark="ann@ops",
    action="dead redrive",
    target="dead/orders/2/4711",
    before={"state": "dead", "attempts": 10, "error": "KeyError", "places": ["orders/2/4711"]},
    after={"state": "parked"},
    reason="the step is fixed",
)


class ListAudit(PageRequest, frozen=True, kw_only=True):
    """Which entries of the audit trail to list."""

    target: Annotated[
        str, argument("Entries of this and all below it: dead/orders, job, flow/orders.")
    ] = ""
    who: Annotated[str | None, option("By this credential: api-token, or a key's name.")] = None
    action: Annotated[str | None, option("Of this kind: dead, dead redrive.")] = None


@operation(
    http("GET", "/audit", tag="audit"),
    command=Command("audit", limit=100),
    summary="Read the audit trail",
    request=ListAudit(target="dead/orders", who="api-token"),
    result=Page([_ENTRY]),
)
async def list_audit(context: OperationContext, request: ListAudit) -> Page[AuditEntry]:
    """Show who changed what, the latest first; JSON has before and after."""
    about = AuditFilter(target=request.target, actor=request.who, action=request.action)
    before = place_in(request.cursor, int) if request.cursor else None
    found = await audit_page(context.control.ledger, about, before, request.limit)
    return Page(found.entries, None if found.before is None else cursor_of(found.before))
