"""What is wrong with the sink of a flow: found before anything is opened."""

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
"""The most characters of a sink's name, by which the ledger knows the destination."""


def sink_mistakes(sink: object) -> Iterator[str]:
    """Yield what is wrong: no sink at all, unset variables, what its kind can never work with."""
    if not isinstance(sink, Sink) or isinstance(sink, type):
        yield f"{_describe_non_sink(sink)}; give one of busway.sinks, like to=jsonl('out.jsonl')"
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
            f"to: its name is {len(sink.name)} characters long, and the ledger keeps at most"
            f" {MAX_SINK_NAME_LENGTH}: {sink.name[:60]}…; give a shorter path or address"
        )


def _describe_non_sink(given: object) -> str:
    if given is None:
        return "it has no sink"
    if isinstance(given, type) or callable(given):
        name = getattr(given, "__name__", type(given).__name__).lower()
        return f"to is {name}, which was not called: write to={name}(…)"
    if isinstance(given, list | tuple | set):
        return f"to is a {type(given).__name__}, and a flow has one sink; declare a flow for each"
    return f"to is {type(given).__name__}, not a sink"


def variable_mistakes(parameter: str, declared: object) -> Iterator[str]:
    """Yield which environment variables of a declared record are not set, or never fit."""
    fields = msgspec.structs.asdict(declared) if isinstance(declared, msgspec.Struct) else {}
    for field, value in fields.items():
        for variable in _environment_variables(value):
            try:
                found = resolve(variable)
            except SettingsError as error:
                yield f"{parameter}.{field}: {error}; set it, or put it into .env"
                continue
            if _reads_as_it_is(declared, field):
                what = template_mistake(field, found)
                if what:
                    where = f"in the environment variable {variable.name}"
                    yield f"{parameter}.{field}: {where}: {what}"


def _reads_as_it_is(declared: object, field: str) -> bool:
    """Say whether a field is a plain text, in which a template would never be filled in."""
    return isinstance(declared, DeclarableFunction) and not takes_template(type(declared), field)


def _environment_variables(value: object) -> Iterator[Env]:
    """Yield what stands for environment variables in a field of a sink, in lists of them too."""
    if isinstance(value, Env):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _environment_variables(one)
