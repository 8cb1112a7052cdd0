"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, get_args

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import ExceptionHandlersMap

from busway.api.query import query_name
from busway.errors import BuswayError, Conflict, NotFound, StoreError, StoreFull
from busway.spelling import nearest

_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]+)`")
PROBLEM_TYPE = "application/problem+json"
_log = structlog.get_logger("busway")

KINDS = {
    400: ("invalid", "Invalid request"),
    401: ("unauthorized", "Not authorized"),
    403: ("forbidden", "Forbidden"),
    404: ("not-found", "Not found"),
    405: ("not-allowed", "Method not allowed"),
    409: ("conflict", "Conflict"),
    412: ("changed", "Changed meanwhile"),
    413: ("body-too-large", "Body too large"),
    415: ("unsupported-media", "Unsupported media type"),
    429: ("too-many", "Too many requests"),
    500: ("internal", "Internal error"),
    503: ("store-failing", "The store cannot be used now"),
    507: ("store-full", "No room for more"),
}
"""The stable name and the title of each problem, by status."""


class InvalidPart(msgspec.Struct, frozen=True):
    """An invalid part of a request: where it is (``query.limit``, ``body.until``) and why."""

    place: str
    reason: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document: ``type`` is stable and for programs, ``detail`` is for people."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[InvalidPart, ...] = ()


def problem(status: int, detail: str, errors: tuple[InvalidPart, ...] = ()) -> Problem:
    """Return the problem document of a status."""
    phrase = HTTPStatus(status).phrase
    kind, title = KINDS.get(status, (phrase.lower().replace(" ", "-"), phrase))
    return Problem(f"urn:busway:problem:{kind}", title, status, detail, errors)


def status_of(error: BuswayError) -> int:
    """Return the HTTP status of an error."""
    match error:
        case NotFound():
            return 404
        case Conflict():
            return 409
        case StoreFull():
            return 507
        case StoreError():
            return 503
        case _:
            return 400


def _answer(found: Problem, headers: Mapping[str, str] | None = None) -> Response[Problem]:
    return Response(
        found,
        status_code=found.status,
        media_type=PROBLEM_TYPE,
        headers=dict(headers or {}),
    )


def _on_busway_error(_: Request[Any, Any, Any], error: BuswayError) -> Response[Problem]:
    return _answer(problem(status_of(error), str(error)))


def _on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    headers = {name: str(value) for name, value in (error.headers or {}).items()}
    faults = _faults(request, error)
    return _answer(problem(error.status_code, _detail(request, error, faults), faults), headers)


def _on_depth(_: Request[Any, Any, Any], __: RecursionError) -> Response[Problem]:
    return _answer(problem(400, "body: it is nested too deeply"))


def _on_defect(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    _log.error("request failed", path=request.url.path, error=repr(error), exc_info=error)
    return _answer(problem(500, "internal error; see the server's log"))


def _detail(
    request: Request[Any, Any, Any], error: HTTPException, faults: tuple[InvalidPart, ...]
) -> str:
    path = request.url.path
    if error.status_code == 404:
        near = nearest(path, [str(route.path) for route in request.app.routes])
        hint = f"did you mean {near}?" if near else "/api/v1/openapi.json lists all paths"
        return f"there is nothing at {path[:200]!r}; events go to POST /events; {hint}"
    if error.status_code == 405:
        return f"{path} does not take {request.method}"
    if faults:
        return "; ".join(f"{part.place}: {part.reason}" for part in faults)
    return error.detail


def _faults(request: Request[Any, Any, Any], error: HTTPException) -> tuple[InvalidPart, ...]:
    listed = error.extra if isinstance(error.extra, list) else []
    handler = request.scope.get("route_handler")
    return tuple(_fault(error, handler) for error in listed if isinstance(error, dict))


def _fault(error: dict[str, Any], handler: BaseRouteHandler | None) -> InvalidPart:
    """Return what is invalid by its name in requests, not by its name in the code."""
    source, key = (_plain(error.get(name) or "") for name in ("source", "key"))
    if source == "body" and key == "data":
        key = ""
    if source == "query" and handler is not None:
        key = query_name(handler, key)
    place = ".".join(filter(None, (source, key)))
    message = str(error.get("message", "invalid value"))
    return InvalidPart(place or "body", message + _field_hint(message, handler))


def _field_hint(message: str, handler: BaseRouteHandler | None) -> str:
    """Suggest the field of the body that an unknown one is probably meant to be."""
    unknown = _UNKNOWN_FIELD.search(message)
    body = handler.parsed_fn_signature.parameters.get("data") if handler is not None else None
    near = nearest(unknown[1], _field_names(body.annotation)) if unknown and body else None
    return f"; did you mean {near!r}?" if near else ""


def _field_names(kind: Any) -> set[str]:
    """Return the names of the fields of a record, including those of nested records."""
    names: set[str] = set()
    for argument in (kind, *get_args(kind)):
        if isinstance(argument, type) and issubclass(argument, msgspec.Struct):
            for field in msgspec.structs.fields(argument):
                names |= {field.encode_name, *_field_names(field.type)}
        elif argument is not kind:
            names |= _field_names(argument)
    return names


def _plain(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value)


HANDLERS: ExceptionHandlersMap = {
    BuswayError: _on_busway_error,
    HTTPException: _on_http_error,
    RecursionError: _on_depth,
    Exception: _on_defect,
}
"""The handlers that turn exceptions into problem documents."""
