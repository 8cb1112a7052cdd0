"""The HTTP request that an operation is called with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from busway.cli.ask import Ask, segment
from busway.control.operation import Operation
from busway.control.placement import path_for, placement


def http_request(operation: Operation[Any, Any], request: msgspec.Struct) -> Ask:
    """Return the HTTP request for an operation with a request.

    Raises :class:`~busway.errors.NotFound` for a name that no path can have in it.
    """
    found = placement(operation, path_for(operation, request))
    path = found.path.path
    for field in found.in_path:
        value = str(getattr(request, field.name))
        path = path.replace(f"{{{field.word}}}", segment(_noun(found.path.path, field.word), value))
    query = {field.word: getattr(request, field.name) for field in found.in_query}
    body = {field.word: getattr(request, field.name) for field in found.in_body}
    return Ask(
        operation.http.method,
        path,
        {word: _text(value) for word, value in query.items() if value not in (None, (), "")},
        None if operation.http.method == "GET" else msgspec.json.encode(body),
        patient=operation.http.slow,
    )


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
