"""Pages of a list, with an opaque cursor to the next page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from busway.control.field import option
from busway.errors import BuswayError

T = TypeVar("T")
K = TypeVar("K")
MAX_LIMIT = 1_000


class PageRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a page of a list; commands read as many pages as they need."""

    limit: Annotated[int, option("Maximum number of items in a page.", ge=1, le=MAX_LIMIT)] = 100
    cursor: Annotated[str | None, option("Where the page begins: `next` of the page before.")] = (
        None
    )


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list; ``next`` is the cursor of the next page, ``null`` at the end."""

    items: Sequence[T]
    next: str | None = None


def page_of(items: Sequence[T], limit: int, key: Callable[[T], object]) -> Page[T]:
    """Return a page of the first ``limit`` items; there may be more of them.

    ``key`` returns the sort key of an item, which the cursor contains.
    """
    if len(items) <= limit:
        return Page(items)
    return Page(items[:limit], cursor_of(key(items[limit - 1])))


def page_after(
    items: Sequence[T],
    request: PageRequest,
    key: Callable[[T], Any],
    kind: Any,
    *,
    descending: bool = False,
) -> Page[T]:
    """Return the requested page of items sorted by ``key``; ``kind`` is the type of the key."""
    if request.cursor:
        last = place_in(request.cursor, kind)
        items = [item for item in items if (key(item) < last if descending else key(item) > last)]
    return page_of(items, request.limit, key)


def cursor_of(key: object) -> str:
    """Return the cursor of the page after the item with this key.

    >>> place_in(cursor_of(("orders", 3)), tuple[str, int])
    ('orders', 3)
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def place_in(cursor: str, kind: type[K]) -> K:
    """Return the key that a cursor holds.

    Raises :class:`BuswayError` for a cursor of another list.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        key = msgspec.json.decode(raw, type=kind)
        _check(msgspec.json.decode(raw))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BuswayError(
            f"the cursor {cursor[:100]!r} is not one of this list; take `next` of its page before"
        ) from error
    return key


def _check(value: object) -> None:
    """Raise :class:`ValueError` for a number of more than 64 bits, or NUL: no key has these."""
    match value:
        case str() if "\0" in value:
            raise ValueError(value)
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError(value)
        case list():
            for item in value:
                _check(item)
        case dict():
            _check(list(value.values()))
