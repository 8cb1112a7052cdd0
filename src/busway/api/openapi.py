"""The OpenAPI 3.1 document: litestar's, completed by what all operations have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ControllerRouterHandler

from busway.api.problem import PROBLEM_TYPE, Problem, problem

DESCRIPTION = """Operate a running Busway: see docs/api.md.

Errors are `application/problem+json` (RFC 9457). Lists come in pages: `items`, and in `next` the
`cursor` of the page after it. Every `GET` has an `ETag`.
"""
_JSON = "application/json"


PREFIX = "/api/v1"


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """Return the OpenAPI 3.1 document of this API."""
    return Response(document(request.app), media_type="application/vnd.oai.openapi+json")


class _Served(Router):
    """Serves only the document: the pages that litestar would add load scripts from elsewhere."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        return super().register(value) if value is openapi else []


def config(version: str) -> OpenAPIConfig:
    """Return the configuration of litestar's OpenAPI document."""
    return OpenAPIConfig(
        title="Busway",
        version=version,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        openapi_router=_Served(PREFIX, route_handlers=[openapi]),
    )


MAY_MISS = {"names": True}
"""The ``opt`` of a handler whose query or body names something that may not exist (404)."""


def example(answer: object = None, body: object = None) -> dict[str, Any]:
    """Return a handler's ``opt`` with examples of its answer and of its request body.

    Both are records of the handler's types, so that an example is always valid.
    """
    return {"answer_example": answer, "body_example": body}


def document(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI document of an app, which is created once."""
    found = app.state.get("openapi_document")
    if found is None:
        found = app.state["openapi_document"] = _completed(app)
    return dict(found)


def _completed(app: Litestar) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(app.openapi_schema.to_schema())
    found.pop("servers", None)
    components = found.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    _, schemas = msgspec.json.schema_components(
        [Problem], ref_template="#/components/schemas/{name}"
    )
    components.setdefault("schemas", {}).update(schemas)
    found["security"] = [{"token": []}]
    for path, method, handler in _operations(app):
        operation = found["paths"].get(path, {}).get(method)
        if operation is not None:
            _complete(operation, method, names="{" in path or bool(handler.opt.get("names")))
            _add_examples(operation, handler.opt)
    return dict(msgspec.json.decode(msgspec.json.encode(found)))


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield route.path_format, str(method).lower(), handler


def _complete(operation: dict[str, Any], method: str, *, names: bool) -> None:
    """Add the problems that an operation may answer; 404 if it names something."""
    statuses = [400, 401, 403, 429]
    statuses += [404] if names else []
    statuses += [] if method == "get" else [409, 412, 415]
    for status in statuses:
        operation["responses"][str(status)] = _response(problem(status, "…"))


def _response(found: Problem) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    shown = msgspec.to_builtins(found)
    return {
        "description": found.title,
        "content": {PROBLEM_TYPE: {"schema": schema, "example": shown}},
    }


def _add_examples(operation: dict[str, Any], opt: Mapping[str, Any]) -> None:
    body, answer = opt.get("body_example"), opt.get("answer_example")
    if body is not None and "requestBody" in operation:
        _set_example(operation["requestBody"], body)
    for status, response in operation["responses"].items():
        if answer is not None and status.startswith("2"):
            _set_example(response, answer)


def _set_example(holder: dict[str, Any], value: object) -> None:
    for kind, content in holder.get("content", {}).items():
        content.pop("examples", None)
        content["example"] = (
            value if isinstance(value, str) else msgspec.json.decode(msgspec.json.encode(value))
        )
        if kind == _JSON and isinstance(value, str):
            raise TypeError("an example of JSON is a record")
