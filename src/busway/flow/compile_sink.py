"""Checks of a flow's sink before it is opened."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from busway.declarable import DeclarableFunction, takes_template, template_mistake
from busway.errors import BuswayError, SettingsError
from busway.ports import Sink, ValidatesConfig
from busway.redact import Redactor
from busway.secret import secrets_of
from busway.settings import Env, resolve

MAX_SINK_NAME_LENGTH = 500
"""The maximum length of a sink's name, the key of the destination in the ledger."""


def sink_mistakes(sink: object) -> Iterator[str]:
    """Yield the mistakes of a sink: not a sink, unset variables, an invalid configuration."""
    if not isinstance(sink, Sink) or isinstance(sink, type):
        yield f"{_describe_non_sink(sink)}; use one of busway.sinks, like to=jsonl('out.jsonl')"
        return
    mistakes = list(variable_mistakes("to", sink))
    yield from mistakes
    if not mistakes and isinstance(sink, ValidatesConfig):
        try:
            sink.validate_config()
        except BuswayError as error:
            yield f"to: {Redactor(secrets_of(sink))(str(error))}"
    if not mistakes and len(sink.name) > MAX_SINK_NAME_LENGTH:
        yield (
            f"to: the name of the sink has {len(sink.name)} characters, at most"
            f" {MAX_SINK_NAME_LENGTH} are allowed: {sink.name[:60]}…; use a shorter path or address"
        )


def _describe_non_sink(given: object) -> str:
    if given is None:
        return "no sink"
    if isinstance(given, type) or callable(given):
        name = getattr(given, "__name__", type(given).__name__).lower()
        return f"invalid to: {name} is not called, write to={name}(…)"
    if isinstance(given, list | tuple | set):
        return f"invalid to of type {type(given).__name__}: a flow has one sink, declare several"
    return f"invalid to of type {type(given).__name__}: not a sink"


def variable_mistakes(parameter: str, declared: object) -> Iterator[str]:
    """Yield the mistakes of environment variables in a declaration: unset, or invalid."""
    fields = msgspec.structs.asdict(declared) if isinstance(declared, msgspec.Struct) else {}
    for field, value in fields.items():
        for variable in _environment_variables(value):
            try:
                text = resolve(variable)
            except SettingsError as error:
                yield f"{parameter}.{field}: {error}; set it, or add it to .env"
                continue
            if _is_literal(declared, field):
                mistake = template_mistake(field, text)
                if mistake:
                    where = f"in the environment variable {variable.name}"
                    yield f"{parameter}.{field}: {where}: {mistake}"


def _is_literal(declared: object, field: str) -> bool:
    """Return whether a field is used literally, not as a template."""
    return isinstance(declared, DeclarableFunction) and not takes_template(type(declared), field)


def _environment_variables(value: object) -> Iterator[Env]:
    """Yield the environment variables in a field of a sink, also within tuples."""
    if isinstance(value, Env):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _environment_variables(item)
