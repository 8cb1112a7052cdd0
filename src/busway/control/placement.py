"""Where the fields of a request travel in HTTP: in the path, in the query, or in the body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from busway.control.field import RequestField, fields_of, flattened
from busway.control.operation import Operation, Path

_IN_PATH = re.compile(r"{(\w+)}")
_WITHOUT_BODY = ("GET", "DELETE")


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request by where they are when it is sent to ``path``.

    In a query there are no records, but their fields.
    """

    path: Path
    in_path: Sequence[RequestField]
    in_query: Sequence[RequestField]
    in_body: Sequence[RequestField]


def placement(operation: Operation[Any, Any], path: Path) -> Placement:
    """Return where an operation's fields are, for one of its paths."""
    words = _IN_PATH.findall(path.path)
    fields = [field for field in fields_of(operation.request_type) if field.name not in path.fixed]
    others = [field for field in fields if field.word not in words]
    without_body = operation.http.method in _WITHOUT_BODY
    return Placement(
        path=path,
        in_path=[field for field in fields if field.word in words],
        in_query=[
            *flattened(field for field in others if without_body or field.use.in_query),
        ],
        in_body=[field for field in others if not (without_body or field.use.in_query)],
    )


def path_for(operation: Operation[Any, Any], request: msgspec.Struct) -> Path:
    """Return the path that a request is sent to: the first whose fixed fields it has."""
    return next(
        path
        for path in operation.http.paths
        if all(getattr(request, name) == value for name, value in path.fixed.items())
    )
