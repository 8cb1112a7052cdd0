"""``/audit``: who changed what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from busway.api.openapi import example
from busway.api.page import Cursor, Limit
from busway.control.audit import AuditEntry, AuditFilter, audit_page
from busway.control.context import ControlContext
from busway.control.page import Page, cursor_of, place_in

_ENTRY = AuditEntry(
    seq=42,
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    actor="api-token",
    remark="ann@ops",
    action="dead redrive",
    target="dead/orders/2/4711",
    before={"state": "dead", "attempts": 10, "error": "KeyError", "places": ["orders/2/4711"]},
    after={"state": "parked"},
    reason="the step is mended",
)


@get("/audit", summary="Read the audit trail", opt=example(Page([_ENTRY])), tags=["audit"])
async def list_audit(
    control: NamedDependency[ControlContext],
    target: Annotated[
        str, QueryParameter(description="Of this and all below it: `dead/orders`.")
    ] = "",
    by: Annotated[
        str | None,
        QueryParameter(name="who", description="By this credential: `api-token`, or a key's name."),
    ] = None,
    action: Annotated[
        str | None, QueryParameter(description="Of this action: `dead redrive`.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """Return what people changed, the latest first: who, when, before and after."""
    before = place_in(cursor, int) if cursor else None
    found = await audit_page(
        control.ledger, AuditFilter(target=target, actor=by, action=action), before, limit
    )
    return Page(found.entries, None if found.before is None else cursor_of(found.before))


router = Router("/", route_handlers=[list_audit])
