"""Origins of attribute values: a constant, a field, a header or a query parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias
from urllib.parse import parse_qs

import msgspec

from busway.declarable import DeclarableFunction
from busway.source.webhook.field_path import FieldPath, kind_of, parse_path


class FromField(DeclarableFunction, frozen=True):
    """The value of a field of the body: ``from_field("$.order.id")``.

    A text that begins with ``$`` means the same. ``default`` is used if the field is missing, null
    or empty; an empty default omits the attribute.
    """

    shown: ClassVar[str] = 'from_field("$.path")'
    path: str
    default: str | None = None


class FromHeader(DeclarableFunction, frozen=True):
    """The value of a header of the request: ``from_header("X-GitHub-Event")``."""

    shown: ClassVar[str] = 'from_header("NAME")'
    name: str
    default: str | None = None


class FromQuery(DeclarableFunction, frozen=True):
    """The value of a parameter of the query: ``from_query("shop")``."""

    shown: ClassVar[str] = 'from_query("NAME")'
    name: str
    default: str | None = None


AttributeValue: TypeAlias = str | FromField | FromHeader | FromQuery
NO_FIELDS = msgspec.UNSET
"""The fields of a body that has no fields."""


class MissingValue(Exception):
    """An attribute has no value; the text completes a sentence that begins with its name."""


class ValueContext(msgspec.Struct, frozen=True):
    """The origins of values in a request; ``fields`` is the decoded body of an event."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    fields: object
    content_type: str = ""


def parse_query(query: str) -> Mapping[str, str]:
    """Return the parameters of a query; the first value of a repeated parameter."""
    if not query:
        return {}
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def needs_fields(value: AttributeValue | None) -> bool:
    """Say whether the value requires decoding the body."""
    return isinstance(value, FromField) or (isinstance(value, str) and value.startswith("$"))


def is_constant(value: AttributeValue) -> bool:
    """Say whether a value is the same for every event."""
    return isinstance(value, str) and not value.startswith("$")


class ValueReader:
    """Reads the value of one attribute.

    Raises :class:`busway.errors.SourceError` for an invalid path.
    """

    def __init__(self, declared: AttributeValue) -> None:
        if isinstance(declared, str) and declared.startswith("$"):
            declared = FromField(declared)
        self._declared = declared
        self._path = parse_path(declared.path) if isinstance(declared, FromField) else None

    def read(self, context: ValueContext) -> str:
        """Return the value or its default. Raises :class:`MissingValue` if there is neither."""
        declared = self._declared
        if isinstance(declared, str):
            return declared
        try:
            return self._read(context)
        except MissingValue:
            if declared.default is None:
                raise
            return declared.default

    def _read(self, context: ValueContext) -> str:
        declared = self._declared
        if self._path is not None:
            return _field(self._path, context)
        if isinstance(declared, FromHeader):
            return _named("header", declared.name, context.headers.get(declared.name.lower()))
        assert isinstance(declared, FromQuery)  # noqa: S101 - the other types are handled above
        return _named("query parameter", declared.name, context.query.get(declared.name))


def _field(path: FieldPath, context: ValueContext) -> str:
    where = f"is taken from {path.text}"
    if context.fields is NO_FIELDS:
        shown = context.content_type or "a body without a Content-Type"
        raise MissingValue(f"{where}, but {shown} has no fields")
    try:
        value = path.find(context.fields)
    except LookupError as error:
        raise MissingValue(f"{where}, but {error}") from error
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise MissingValue(f"{where}, but that is {kind_of(value)}; send a string or a number")
    return _checked(value, where)


def _named(kind: str, name: str, value: str | None) -> str:
    where = f"is taken from the {kind} {name!r}"
    if value is None:
        raise MissingValue(f"{where}, but the request has none")
    return _checked(_as_utf8(value), where)


def _checked(value: str, where: str) -> str:
    if not value:
        raise MissingValue(f"{where}, but that is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MissingValue(f"{where}, but that is not valid Unicode: {error.reason}") from error
    return value


def _as_utf8(value: str) -> str:
    """Decode the value of a header as UTF-8, or as Latin-1 if it is not UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
