"""Routes of the declared operations: what litestar serves and describes is derived from them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Request, route
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, PathParameter, QueryParameter, SkipValidation

from busway.api.etag import check_match
from busway.api.openapi import example
from busway.control.context import ControlContext
from busway.control.field import RequestField, fields_of
from busway.control.operation import Operation, OperationContext, Path
from busway.control.placement import placement

_REQUIRED = inspect.Parameter.empty
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_GIVEN: Mapping[str, tuple[Any, Any]] = {
    "control": (NamedDependency[SkipValidation[ControlContext]], _REQUIRED),
    "request": (Request[Any, Any, Any], _REQUIRED),
}
_GIVEN_TO_CHANGES: Mapping[str, tuple[Any, Any]] = {"who": (NamedDependency[str], _REQUIRED)}


def route_handlers(operation: Operation[Any, Any]) -> Iterator[HTTPRouteHandler]:
    """Yield the handlers of an operation, one for each of its paths."""
    for path in operation.http.paths:
        yield _handler(operation, _PathFields(operation, path))


class _PathFields:
    """The fields of a request as litestar takes them on one path."""

    def __init__(self, operation: Operation[Any, Any], path: Path) -> None:
        found = placement(operation, path)
        self.path = path
        self._record = operation.request_type
        self._in_path, self._in_query = found.in_path, found.in_query
        self._in_body = found.in_body
        self._whole = next((field for field in found.in_body if field.use.is_body), None)
        self.body = self._body_type() if self._in_body else None

    def litestar_path(self) -> str:
        """Return the path with its parameters as litestar writes them."""
        found = self.path.path
        for field in self._in_path:
            found = found.replace(f"{{{field.word}}}", f"{{{field.word}:{field.type.__name__}}}")
        return found

    def parameters(self) -> Mapping[str, tuple[Any, Any]]:
        """Return the type and the default of each parameter of a handler."""
        found: dict[str, tuple[Any, Any]] = {
            field.word: (_annotated(field.type, PathParameter()), _REQUIRED)
            for field in self._in_path
        }
        found |= {_in_query(field): _query(field) for field in self._in_query}
        if self.body is not None:
            json = Body(media_type=RequestEncodingType.JSON)
            found["data"] = (_annotated(self.body, json), _REQUIRED)
        return found

    def request(self, given: Mapping[str, Any], body: bytes) -> Any:
        """Return the request that a handler was called with."""
        found: dict[str, Any] = dict(self.path.fixed)
        found |= {field.name: given[field.word] for field in self._in_path}
        inner: dict[str, dict[str, Any]] = {"": found}
        for field in self._in_query:
            value = _stored(given[_in_query(field)], field.default)
            inner.setdefault(field.parent, {})[field.name] = value
        for field in fields_of(self._record):
            if field.name in inner and field.record is not None:
                found[field.name] = field.record(**inner[field.name])
        if self._whole is not None:
            found[self._whole.name] = msgspec.Raw(body.strip())
        elif self.body is not None:
            found |= {field.name: getattr(given["data"], field.name) for field in self._in_body}
        return self._record(**found)

    def body_example(self, request: msgspec.Struct | None) -> object:
        """Return the members of the body of an example."""
        if self.body is None or request is None:
            return None
        if self._whole is not None:
            return self._whole.value_in(request)
        return self.body(**{field.name: getattr(request, field.name) for field in self._in_body})

    def _body_type(self) -> Any:
        if self._whole is not None:
            return dict[str, Any]  # it is JSON; its bytes are used as they came
        if len(self._in_body) == len(self._record.__struct_fields__):
            return self._record
        return msgspec.defstruct(
            self._record.__name__,
            [(field.name, *_member(field)) for field in self._in_body],
            namespace={"__doc__": self._record.__doc__},
            module=self._record.__module__,
            rename={field.name: field.word for field in self._in_body},
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
        )


def _handler(operation: Operation[Any, Any], fields: _PathFields) -> HTTPRouteHandler:
    current, declared = operation.http.current, operation.declaration

    async def handle(
        control: ControlContext, request: Request[Any, Any, Any], who: str = "", **given: Any
    ) -> Any:
        body = await request.body() if fields.body is not None else b""
        asked, expected = fields.request(given, body), None
        if current is not None and "if-match" in request.headers:
            context = OperationContext(control=control, actor=who)
            read = msgspec.convert(asked, current.request_type, from_attributes=True)
            expected = await current(context, read)
            check_match(request, expected)
        context = OperationContext(control=control, actor=who, expected=expected)
        return await operation(context, asked)

    more = {} if operation.http.method == "GET" else _GIVEN_TO_CHANGES
    _describe(handle, operation, {**_GIVEN, **more, **fields.parameters()})
    return route(
        fields.litestar_path(),
        http_method=[operation.http.method],
        status_code=operation.http.status,
        summary=declared.summary,
        tags=[operation.http.tag],
        opt=example(declared.result, fields.body_example(declared.request))
        | {"names": operation.http.may_miss},
    )(handle)


def _describe(
    handle: Any, operation: Operation[Any, Any], parameters: Mapping[str, tuple[Any, Any]]
) -> None:
    """Give a handler the name, docstring and parameters that litestar reads of it."""
    handle.__name__ = handle.__qualname__ = operation.name
    handle.__doc__ = operation.description
    handle.__signature__ = inspect.Signature(
        [
            inspect.Parameter(name, _KEYWORD, annotation=kind, default=default)
            for name, (kind, default) in parameters.items()
        ],
        return_annotation=operation.result_type,
    )
    handle.__annotations__ = {name: kind for name, (kind, _) in parameters.items()}
    handle.__annotations__["return"] = operation.result_type


def _in_query(field: RequestField) -> str:
    """Return the name of a parameter: that of a field may have a meaning for litestar."""
    return f"query_{field.name}"


def _query(field: RequestField) -> tuple[Any, Any]:
    meta = field.meta
    described = QueryParameter(
        name=field.word, description=meta.description, ge=meta.ge, le=meta.le
    )
    default = _REQUIRED if field.is_required else field.default
    if isinstance(default, tuple):
        return _annotated(list[str] | None, described), None
    return _annotated(field.type, described), default


def _stored(value: Any, default: Any) -> Any:
    return tuple(value or ()) if isinstance(default, tuple) else value


def _member(field: RequestField) -> tuple[Any, ...]:
    kind = _annotated(field.type, field.meta)
    return (kind,) if field.is_required else (kind, field.default)


def _annotated(kind: Any, *more: Any) -> Any:
    """Return a type that is known when the program runs, with more about it."""
    return Annotated.__class_getitem__((kind, *more))  # type: ignore[attr-defined]
