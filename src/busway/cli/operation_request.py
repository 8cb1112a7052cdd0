"""The HTTP request that an operation is called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from busway.cli.api_request import ApiRequest, path_segment
from busway.control.field import RequestField
from busway.control.operation import Operation
from busway.control.placement import path_for, placement


def http_request(operation: Operation[Any, Any], request: msgspec.Struct) -> ApiRequest:
    """Return the HTTP request for an operation with a request.

    Raises :class:`~busway.errors.NotFound` for a name that no path can have in it.
    """
    found = placement(operation, path_for(operation, request))
    path = found.path.path
    for field in found.in_path:
        value = str(field.value_in(request))
        path = path.replace(
            f"{{{field.word}}}", path_segment(_noun(found.path.path, field.word), value)
        )
    return ApiRequest(
        operation.http.method,
        path,
        query_texts({field.word: field.value_in(request) for field in found.in_query}),
        None if operation.http.method == "GET" else _body(found.in_body, request),
        is_slow=operation.http.slow,
    )


def query_texts(values: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return the values of a query as text; those that are not given are left out."""
    return {word: _text(value) for word, value in values.items() if value not in (None, (), "")}


def _body(fields: Sequence[RequestField], request: msgspec.Struct) -> bytes:
    for field in fields:
        if field.use.is_body:
            return bytes(field.value_in(request))
    return msgspec.json.encode({field.word: field.value_in(request) for field in fields})


def _noun(path: str, word: str) -> str:
    """Return what a parameter of a path names.

    >>> _noun("/flows/{name}/windows/{id}", "id")
    'window'
    """
    return path.partition(f"/{{{word}}}")[0].rpartition("/")[2].removesuffix("s")


def _text(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(_text(item)) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)
