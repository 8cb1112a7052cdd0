"""Pages: a list in pieces, with an opaque cursor to the next one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from busway.api.text import NUL
from busway.errors import BuswayError

T = TypeVar("T")
K = TypeVar("K")

Limit = Annotated[
    int, QueryParameter(ge=1, le=1000, description="At most so many items in a page.")
]
Cursor = Annotated[
    str | None, QueryParameter(description="Where the page begins: `next` of the page before.")
]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items of a list; ``next`` is the cursor of the page after it, ``null`` at the end."""

    items: Sequence[T]
    next: str | None = None


def page_of(found: Sequence[T], limit: int, key: Callable[[T], object]) -> Page[T]:
    """Return a page of what was found when ``limit + 1`` items were asked for.

    ``key`` gives what an item is found again by; it travels in the cursor.
    """
    if len(found) <= limit:
        return Page(found)
    return Page(found[:limit], cursor_of(key(found[limit - 1])))


def cursor_of(key: object) -> str:
    """Return the cursor of the page after the item with this key.

    >>> place_in(cursor_of(("orders", 3)), tuple[str, int])
    ('orders', 3)
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def place_in(cursor: str, kind: type[K]) -> K:
    """Return the key that a cursor holds.

    Raises :class:`BuswayError` for a cursor that is not one of this list's.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=kind)
        _check(msgspec.json.decode(raw))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BuswayError(
            f"the cursor {cursor[:100]!r} is not one of this list; take `next` of its page before"
        ) from error
    return found


def _check(value: object) -> None:
    """Raise :class:`ValueError` for a number of more than 64 bits, or NUL: no place has these."""
    match value:
        case str() if NUL in value:
            raise ValueError(value)
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError(value)
        case list():
            for one in value:
                _check(one)
        case dict():
            _check(list(value.values()))
