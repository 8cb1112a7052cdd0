"""The fields of a request: what each means, and how it is given on the command line."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]
_KEY = "use"


class FieldUse(msgspec.Struct, frozen=True, kw_only=True):
    """How callers give a field.

    On the command line, ``options`` are the words of its option (by default ``--`` and its name); a
    ``positional`` field is an argument. An option with a ``value`` is a flag that stands for it. A
    time ``ahead`` is in the future. The value of a ``from_file`` field is the content of the file
    that is named. A field that is not ``shown`` has no option.

    Over HTTP, a field ``in_query`` is a query parameter whatever the method, and a field that
    ``is_body`` is the body as it came, not a member of it.
    """

    options: tuple[str, ...] = ()
    positional: bool = False
    metavar: str | None = None
    value: Any = None
    ahead: bool = False
    from_file: bool = False
    shown: bool = True
    in_query: bool = False
    is_body: bool = False


class RequestField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a request. ``name`` is the attribute, ``word`` what callers write.

    ``parent`` is the attribute with the record that has the field, if that is not the request.
    """

    name: str
    word: str
    type: Any
    meta: Meta
    default: Any
    use: FieldUse
    parent: str = ""

    @property
    def is_required(self) -> bool:
        return self.default is msgspec.NODEFAULT

    @property
    def description(self) -> str:
        return self.meta.description or ""

    @property
    def base_type(self) -> Any:
        """Its type without ``None`` and without constraints."""
        kinds = [_bare(kind) for kind in _members(self.type) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else str

    @property
    def record(self) -> type[msgspec.Struct] | None:
        """Its type, if that is a record."""
        kind = self.base_type
        return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None

    def value_in(self, request: msgspec.Struct) -> Any:
        """Return its value."""
        return getattr(getattr(request, self.parent) if self.parent else request, self.name)


def argument(description: str, **more: Any) -> Meta:
    """Describe a field that is an argument of the command."""
    return option(description, positional=True, **more)


def option(description: str, *options: str, **more: Any) -> Meta:
    """Describe a field that is an option of the command; ``more`` are fields of
    :class:`FieldUse`, and limits of the value: ``ge``, ``le``."""
    limits = {name: more.pop(name) for name in ("ge", "le") if name in more}
    shown = FieldUse(options=options, **more)
    return Meta(description=description, extra={_KEY: shown}, **limits)


def fields_of(record: type[msgspec.Struct]) -> Sequence[RequestField]:
    """Return the fields of a request in order."""
    return _cached_fields(record)


@cache
def _cached_fields(record: Any) -> Sequence[RequestField]:
    return tuple(_fields(record))


def _fields(record: type[msgspec.Struct]) -> Iterator[RequestField]:
    hints = get_type_hints(record, include_extras=True)
    for field in msgspec.structs.fields(record):
        kind, meta = _described(hints[field.name])
        yield RequestField(
            name=field.name,
            word=field.encode_name,
            type=kind,
            meta=meta,
            default=_default(field),
            use=(meta.extra or {}).get(_KEY, FieldUse()),
        )


def flattened(fields: Iterable[RequestField]) -> Iterator[RequestField]:
    """Yield fields, in the place of a record its own fields."""
    for field in fields:
        if field.record is None:
            yield field
        else:
            for inner in fields_of(field.record):
                yield msgspec.structs.replace(inner, parent=field.name)


def _default(field: Any) -> Any:
    factory = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else factory()


def _described(hint: Any) -> tuple[Any, Meta]:
    """Return a type without the description around it, and that."""
    if get_origin(hint) is not Annotated:
        return hint, Meta()
    kind, *extras = get_args(hint)
    for meta in extras:
        if isinstance(meta, Meta) and _KEY in (meta.extra or {}):
            rest = tuple(other for other in extras if other is not meta)
            return (Annotated[(kind, *rest)] if rest else kind), meta
    return hint, Meta()


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
