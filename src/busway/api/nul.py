"""NUL characters: refused in every request, because not every engine can store them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler

NUL = "\0"
_REASON = "it contains the character NUL; remove it"


async def refuse_nul(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse a request with a NUL in its path, its query, or a text of its record.

    The user's own JSON in a body (an event, a pattern) is stored as bytes and may contain it.
    """
    places = [
        *(("path", name) for name, value in connection.path_params.items() if NUL in str(value)),
        *(("query", name) for name, value in connection.query_params.items() if NUL in value),
        *(("body", name) for name in await _in_body(connection, handler)),
    ]
    if places:
        faults = [{"source": source, "key": key, "message": _REASON} for source, key in places]
        raise ValidationException(extra=faults)


async def _in_body(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> list[str]:
    given = handler.parsed_fn_signature.parameters.get("data")
    if given is None or not isinstance(connection, Request):
        return []
    try:
        record = msgspec.json.decode(await connection.body(), type=given.annotation, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []  # its handler is not called with it either
    return [place.removeprefix(".") for place in _places(record, "")]


def _places(value: object, place: str) -> Iterator[str]:
    """Yield the places of texts with a NUL in a record."""
    match value:
        case str() if NUL in value:
            yield place
        case list() | tuple():
            for number, item in enumerate(value):
                yield from _places(item, f"{place}.{number}")
        case msgspec.Struct():
            names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
            for name, shown in names:
                yield from _places(getattr(value, name), f"{place}.{shown}")
