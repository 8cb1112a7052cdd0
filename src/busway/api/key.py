"""``/keys``: who may send events, or call the API, beside whoever has its token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from busway.api.openapi import example
from busway.api.page import Cursor, Limit, Page, page_of, place_in
from busway.control.access.key import CreatedKey, KeyStatus, NewKey, create, key_statuses, revoke
from busway.control.control import Control

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_KEY = KeyStatus(
    name="shop",
    scopes=("intake",),
    created_at=_AT,
    created_by="api-token (ann@ops)",
    used_at=_AT,
)
_SECRET = "busway_…"  # noqa: S105 - an example


@get("/", summary="List keys", opt=example(Page([_KEY])))
async def list_keys(
    control: NamedDependency[Control], limit: Limit = 100, cursor: Cursor = None
) -> Page[KeyStatus]:
    """Return the keys by name, without their secrets, which are kept nowhere."""
    after = place_in(cursor, str) if cursor else ""
    found = [one for one in await key_statuses(control.ledger) if one.name > after]
    return page_of(found[: limit + 1], limit, lambda one: one.name)


@post(
    "/",
    summary="Create a key",
    status_code=201,
    opt=example(CreatedKey(key=_KEY, secret=_SECRET), NewKey(scopes=("intake",), name="shop")),
)
async def create_key(
    control: NamedDependency[Control], data: JSONBody[NewKey], who: NamedDependency[str]
) -> CreatedKey:
    """Make a key and return its secret, this once.

    With the scope `intake` it may send events, with `admin` call the API; it does so under its
    name.
    """
    return await create(control, data, who)


@delete("/{name:str}", summary="Revoke a key", status_code=200, opt=example(_KEY))
async def revoke_key(
    control: NamedDependency[Control],
    name: FromPath[str],
    who: NamedDependency[str],
    reason: Annotated[str, QueryParameter(description="Why, for the audit trail.")] = "",
) -> KeyStatus:
    """Make a key worthless; every process knows within two seconds."""
    return await revoke(control, name, who, reason)


router = Router("/keys", route_handlers=[list_keys, create_key, revoke_key], tags=["keys"])
