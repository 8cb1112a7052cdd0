"""``busway keys``: secrets that producers and people use instead of the server's token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from busway.control.access.key import CreatedKey, KeyStatus, NewKey, create, key_statuses, revoke
from busway.control.field import argument, option
from busway.control.operation import OperationContext, http, operation
from busway.control.page import Page, PageRequest, page_after

_KEY = KeyStatus(
    name="shop",
    scopes=("intake",),
    created_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    created_by="api-token (ann@ops)",
    used_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
)
_SECRET = "busway_…"  # noqa: S105 - an example


class RevokeKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which key to revoke, and why."""

    name: Annotated[str, argument("The key's name.")]
    reason: Annotated[str, option("Why, for the audit trail.")] = ""


@operation(
    http("GET", "/keys", tag="keys"), command="keys", summary="List keys", result=Page([_KEY])
)
async def list_keys(context: OperationContext, request: PageRequest) -> Page[KeyStatus]:
    """List the keys, without their secrets, which are not stored."""
    found = await key_statuses(context.control.ledger)
    return page_after(found, request, lambda key: key.name, str)


@operation(
    http("POST", "/keys", tag="keys", status=201),
    command="keys create",
    summary="Create a key",
    request=NewKey(scopes=("intake",), name="shop"),
    result=CreatedKey(key=_KEY, secret=_SECRET),
)
async def create_key(context: OperationContext, request: NewKey) -> CreatedKey:
    """Create a key and show its secret, once: it is not stored.

    With the scope `intake` a key may send events, with `admin` call the API. Whoever uses it has
    the key's name in the audit trail.
    """
    return await create(context.control, request, context.actor)


@operation(
    http("DELETE", "/keys/{name}", tag="keys"),
    command="keys revoke",
    summary="Revoke a key",
    request=RevokeKey(name="shop", reason="it was published"),
    result=_KEY,
)
async def revoke_key(context: OperationContext, request: RevokeKey) -> KeyStatus:
    """Revoke a key; every process refuses it within two seconds."""
    return await revoke(context.control, request.name, context.actor, request.reason)
