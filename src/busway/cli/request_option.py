"""Command line options that are derived from the fields of a request."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
import typer

from busway.cli.parameter import REQUIRED, Parameters
from busway.cli.time_option import FUTURE_FORMS, PAST_FORMS, parse_time
from busway.control.field import RequestField, fields_of, flattened
from busway.control.page import PageRequest
from busway.errors import BuswayError

_PAGE = ("limit", "cursor")


def options_of(record: type[msgspec.Struct]) -> Parameters:
    """Return the options of a request as Typer reads them, those of records in it as well."""
    return {name: _option(field) for name, field in _option_fields(record)}


def request_of(record: type[msgspec.Struct], given: Mapping[str, Any]) -> Any:
    """Return the request that was given by options.

    Raises :class:`BuswayError` for a value that a field cannot have.
    """
    return record(**_values(record, given))


def shell_words(request: msgspec.Struct | None) -> str:
    """Return the arguments and options of a command that give a request.

    Values that are the default are left out.
    """
    if request is None:
        return ""
    arguments, options = [], []
    for field in fields_of(type(request)):
        value = getattr(request, field.name)
        if field.use.value is not None:
            value = value == field.use.value
        if isinstance(value, msgspec.Struct):
            options.append(shell_words(value))
        elif value in (field.default, False) or not field.use.shown:
            continue
        elif field.use.positional:
            arguments += _quoted(value)
        else:
            options += [f"{_words(field)[-1]} {text}".rstrip() for text in _quoted(value)]
    return " ".join(arguments + options)


def _quoted(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [text for item in value for text in _quoted(item)]
    if value is True:
        return [""]
    text = f"{value:%F}" if isinstance(value, datetime) else str(value)
    return [f'"{text}"' if shlex.quote(text) != text else text]


def _words(field: RequestField) -> tuple[str, ...]:
    return field.use.options or (f"--{field.word.replace('_', '-')}",)


def _option_fields(record: type[msgspec.Struct]) -> Iterator[tuple[str, RequestField]]:
    """Yield the fields that a command has options for: a list is read page by page as needed."""
    paged = issubclass(record, PageRequest)
    fields = [field for field in fields_of(record) if field.use.shown]
    for field in flattened(fields):
        if field.use.shown and not (paged and not field.parent and field.name in _PAGE):
            yield field.name, field


def _values(record: type[msgspec.Struct], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields_of(record):
        if not field.use.shown:
            continue
        if field.record is not None:
            values = _values(field.record, given)
            if values:
                found[field.name] = field.record(**values)
        elif given.get(field.name) not in (None, [], ()):
            found[field.name] = _value(field, given[field.name])
    return {name: value for name, value in found.items() if value is not _ABSENT}


_ABSENT = object()


def _value(field: RequestField, value: Any) -> Any:
    use = field.use
    if use.value is not None:
        return use.value if value else _ABSENT
    if use.from_file:
        return read_text(value)
    if field.base_type is datetime:
        return parse_time(value, ahead=use.ahead)
    return tuple(value) if isinstance(value, list) else value


def _option(field: RequestField) -> tuple[Any, Any]:
    use, kind = field.use, _kind(field)
    shown: dict[str, Any] = {"help": _help(field), "metavar": use.metavar}
    if use.positional:
        shown["metavar"] = use.metavar or field.word.upper()
        default = REQUIRED if field.is_required else None
        return Annotated[kind, typer.Argument(**shown)], default
    described = typer.Option(*_words(field), min=field.meta.ge, max=field.meta.le, **shown)
    return Annotated[kind, described], _default(field)


def _default(field: RequestField) -> Any:
    if field.is_required:
        return REQUIRED
    if field.use.value is not None:
        return False
    return None if field.default == () else field.default


def _kind(field: RequestField) -> Any:
    """Return the type that Typer reads the value as."""
    kind, use = field.base_type, field.use
    if use.value is not None:
        return bool
    if use.from_file:
        return Path | None
    if get_origin(kind) in (tuple, list):
        return list[str] if field.is_required else list[str] | None
    if kind not in (int, float, bool):
        kind = str
    return kind | None if type(None) in get_args(field.type) else kind


def _help(field: RequestField) -> str:
    if field.base_type is not datetime:
        return field.description
    return f"{field.description.rstrip('.')}: {FUTURE_FORMS if field.use.ahead else PAST_FORMS}."


def read_text(file: Path) -> str:
    """Return the text in a file; raises :class:`BuswayError` if it cannot be read."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BuswayError(f"{file} cannot be read: {error}") from error
