"""Compile the declared sources: what is wrong with one is found before anything is opened."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import TypeGuard, cast

from busway.declarable import contains_invalid
from busway.errors import BuswayError
from busway.flow.compile_sink import variable_mistakes
from busway.flow.declaration import SourceDeclaration
from busway.ports import EVENTS, ReaderSource, RequestSource, Source, ValidatesConfig
from busway.redact import Redactor
from busway.secret import secrets_of

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def compile_sources(
    declarations: Sequence[SourceDeclaration], mistakes: list[str]
) -> tuple[Source, ...]:
    """Return the sources of an app; notes each mistake."""
    lines: dict[str, int] = {}
    sources: list[Source] = []
    for declaration in declarations:
        if contains_invalid(declaration.source):
            continue  # noted when its call was wrong
        wrong = list(_mistakes(declaration.source)) or list(_clashes(declaration, lines))
        mistakes += [f"{declaration.file}:{declaration.line}: {what}" for what in wrong]
        if not wrong:
            source = cast(Source, declaration.source)
            lines[source.name] = declaration.line
            sources.append(source)
    return tuple(sources)


def _mistakes(source: object) -> Iterator[str]:
    if isinstance(source, type) or not (
        isinstance(source, RequestSource) or _is_reader_source(source)
    ):
        what = _not_a_source(source)
        yield f"app.source: {what}; give one of busway.sources, like webhook('orders')"
        return
    where = f"source {source.name!r}"
    if not isinstance(source.name, str) or not _NAME.fullmatch(source.name):
        yield f"{where}: its name must begin with a letter and have letters, digits, _ . - only"
        return
    wrong = list(variable_mistakes(where, source))
    yield from wrong
    if not wrong and isinstance(source, ValidatesConfig):
        try:
            source.validate_config()
        except BuswayError as error:
            yield f"{where}: {Redactor(secrets_of(source))(str(error))}"


def _is_reader_source(source: object) -> TypeGuard[ReaderSource]:
    """Say whether a reader can be opened at a position; a sink's ``open`` takes no position."""
    if not isinstance(source, ReaderSource):
        return False
    try:
        inspect.signature(source.open).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


def _clashes(declaration: SourceDeclaration, lines: dict[str, int]) -> Iterator[str]:
    name = cast(Source, declaration.source).name
    if name == EVENTS:
        yield f"source {name!r}: POST /events has this name; give it another"
    elif name in lines:
        what = f"the source at line {lines[name]} has this name too"
        yield f"source {name!r}: {what}; give one of them another"


def _not_a_source(given: object) -> str:
    if isinstance(given, type) or callable(given):
        name = getattr(given, "__name__", type(given).__name__).lower()
        return f"it is {name}, which was not called: write {name}(…)"
    return f"it is a {type(given).__name__}, not a source"
