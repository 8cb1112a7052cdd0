"""Query parameters and bodies: unknown parameters and missing bodies are refused."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg

from busway.spelling import nearest


def refuse_unknown_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse a request with a query parameter that its operation does not take."""
    known = _parameters(handler)
    faults = [
        {"source": "query", "key": name, "message": _hint(name, known)}
        for name in connection.query_params
        if name not in known
    ]
    if faults:
        raise ValidationException(extra=faults)


def require_body(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse a request without a body if its operation takes one."""
    headers = connection.headers
    empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    if empty and "data" in handler.parsed_fn_signature.parameters:
        fault = {"source": "body", "message": "it is empty; send JSON, at least {}"}
        raise ValidationException(extra=[fault])


def query_name(handler: BaseRouteHandler, name: str) -> str:
    """Return the name of a query parameter in requests."""
    return _query_names(handler).get(name, name)


def _parameters(handler: BaseRouteHandler) -> frozenset[str]:
    return frozenset(_query_names(handler).values())


@cache
def _query_names(handler: BaseRouteHandler) -> Mapping[str, str]:
    """Return the name in requests of each parameter, by its name in the code."""
    providers = handler.resolve_dependencies()
    names: dict[str, str] = {}
    signatures = [handler.parsed_fn_signature]
    while signatures:
        for name, field in signatures.pop().parameters.items():
            if name in providers:
                signatures.append(providers[name].parsed_fn_signature)
                continue
            given = field.kwarg_definition
            alias = given.name if isinstance(given, ParameterKwarg) else None
            names[name] = alias or name
    return names


def _hint(name: str, known: frozenset[str]) -> str:
    near = nearest(name, known)
    return f"there is no such parameter; did you mean {near!r}?" if near else "unknown parameter"
