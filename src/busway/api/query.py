"""Query parameters: one that an operation does not have is a mistake, never passed over."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg


def known_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse a request with a query parameter that its operation does not have."""
    known = _parameters(handler)
    faults = [
        {"source": "query", "key": name, "message": _hint(name, known)}
        for name in connection.query_params
        if name not in known
    ]
    if faults:
        raise ValidationException(extra=faults)


@cache
def _parameters(handler: BaseRouteHandler) -> frozenset[str]:
    providers = handler.resolve_dependencies()
    names: set[str] = set()
    signatures = [handler.parsed_fn_signature]
    while signatures:
        for name, field in signatures.pop().parameters.items():
            if name in providers:
                signatures.append(providers[name].parsed_fn_signature)
                continue
            given = field.kwarg_definition
            alias = given.name if isinstance(given, ParameterKwarg) else None
            names.add(alias or name)
    return frozenset(names)


def _hint(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"there is no such parameter; did you mean {near[0]!r}?" if near else "unknown parameter"
