"""Validation of the parameters of declarations, with the location of the call and suggestions.

While a flows file is loaded, mistakes are collected, so that all are reported together. Elsewhere,
as in a test, the call raises :class:`CallError`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import msgspec

from busway.errors import FlowError
from busway.spelling import nearest, suggestion
from busway.type_check import (
    describe_type,
    describe_value,
    find_type_mismatch,
    has_type,
    suggest_choice,
)

P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = str(Path(__file__).parent) + "/"
_collected: ContextVar[list[str] | None] = ContextVar("busway_call_mistakes", default=None)
_SECRET_PARAMETERS = frozenset({"dsn", "url", "headers", "username", "password", "sign"})
"""Parameters whose values are not shown in messages."""
_ANY_TEXT_PARAMETERS = frozenset({"username", "password", "sign", "data"})
"""Parameters whose text may contain braces without being a template."""
_PLACEHOLDER = re.compile(r"\{\{?\s*[A-Za-z_]\w*(?:[.\[][^{}\s]*)?\s*\}?\}")
_CREDENTIALS = re.compile(r"^(\w+://)[^/]*@")


class CallError(FlowError, TypeError):
    """A declaration was called with wrong parameters; the text lists all of them."""


class InvalidCall:
    """Takes the place of a wrong call's result until all mistakes are reported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __repr__(self) -> str:
        return "(invalid call)"

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        """Return a decorated function unchanged."""
        return arguments[0] if arguments and callable(arguments[0]) else self


@contextlib.contextmanager
def collecting_mistakes() -> Iterator[list[str]]:
    """Collect the mistakes of calls in the yielded list, instead of raising them."""
    mistakes: list[str] = []
    token = _collected.set(mistakes)
    try:
        yield mistakes
    finally:
        _collected.reset(token)


def caller_location() -> tuple[str, int]:
    """Return the file and line that called into this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return ("?", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def contains_invalid(value: object) -> bool:
    """Return whether a value is or contains the result of a wrong call."""
    if isinstance(value, list | tuple):
        return any(map(contains_invalid, value))
    return isinstance(value, InvalidCall)


def template_mistake(name: str, value: object) -> str:
    """Return a mistake if a text that is not a template looks like one.

    >>> template_mistake("table", "orders_{data[country]}")[:33]
    "table is not a template: '{data[c"
    """
    text = _CREDENTIALS.sub(r"\1", value) if isinstance(value, str) else ""
    placeholder = _PLACEHOLDER.search(text)
    if placeholder is None:
        return ""
    return (
        f"{name} is not a template: {placeholder[0]!r} would be used literally for every event;"
        f" return the value from the step as data, or declare a flow for each {name}"
    )


def takes_template(kind: Callable[..., Any], name: str) -> bool:
    """Return whether a parameter takes a template, or any text."""
    return name in _ANY_TEXT_PARAMETERS or Callable in _nested_types(
        _type_hints(kind).get(name, Any)
    )


class _DeclarableType(msgspec.StructMeta):
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if contains_invalid([*arguments, *named.values()]):
            return InvalidCall()
        kind = cast(type, self)
        name, signature = _public_name(kind), _signature(kind)
        mistakes = list(_call_mistakes(signature, arguments, named)) or list(
            _value_mistakes(kind, signature.bind(*arguments, **named).arguments)
        )
        if mistakes:
            return _report(name, mistakes)
        return super().__call__(*arguments, **named)


class Declarable(msgspec.Struct, metaclass=_DeclarableType, frozen=True):
    """A record that users create in a flows file; its parameters are checked on creation."""

    is_function: ClassVar[bool] = False
    """Whether its public name is a function's: ``postgres``, not ``Postgres``."""


class DeclarableFunction(Declarable, frozen=True):
    """A declarable record with the public name of a function, like a sink or a condition."""

    is_function: ClassVar[bool] = True


def checks_parameters(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function or method check its parameters on each call."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        if contains_invalid([*arguments, *named.values()]) and not _takes_anything(signature):
            return cast(T, InvalidCall())
        mistakes = list(_call_mistakes(signature, arguments, named))
        if not mistakes and not _takes_anything(signature):
            bound = signature.bind(*arguments, **named).arguments
            mistakes = list(_value_mistakes(function, bound))
        if not mistakes:
            return function(*arguments, **named)
        _report(_function_name(function), mistakes)
        return cast(T, None if function.__name__ == "__init__" else InvalidCall())

    return call


def _takes_anything(signature: inspect.Signature) -> bool:
    return any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()
    )


def _report(name: str, mistakes: Sequence[str]) -> InvalidCall:
    file, line = caller_location()
    lines = [f"{file}:{line}: {name}: {what}" for what in mistakes]
    collected = _collected.get()
    if collected is None:
        raise CallError("\n".join(lines))
    collected += lines
    return InvalidCall()


def _function_name(function: Callable[..., Any]) -> str:
    """Return the public name of a function: ``App``, ``app.flow``, ``env``."""
    owner, _, name = function.__qualname__.rpartition(".")
    return owner if name == "__init__" else f"{owner.lower()}.{name}" if owner else name


def _public_name(kind: type) -> str:
    if not getattr(kind, "is_function", False):
        return kind.__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _call_mistakes(
    signature: inspect.Signature, arguments: Sequence[object], named: Mapping[str, object]
) -> Iterator[str]:
    """Yield the mistakes of a call: unknown, repeated and missing parameters."""
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        yield from _named_mistakes(_CallParameters(signature, len(arguments), named))


class _CallParameters:
    """The parameters of a function, and those of a call."""

    def __init__(
        self, signature: inspect.Signature, count: int, named: Mapping[str, object]
    ) -> None:
        parameters = [
            parameter for parameter in signature.parameters.values() if parameter.name != "self"
        ]
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        count -= "self" in signature.parameters
        self.known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
        self.takes_any = len(self.known) < len(parameters)
        self.positional = [each.name for each in parameters if each.kind in kinds]
        self.required = [each.name for each in parameters if each.default is each.empty]
        self.count = count
        self.named = named


def _named_mistakes(call: _CallParameters) -> Iterator[str]:
    by_position = call.positional[: call.count]
    suggested = set()
    for name in call.named:
        if name in by_position:
            yield f"{name} is given twice, by position and by name"
        elif name not in call.known and not call.takes_any:
            free = [known for known in call.known if known not in {*call.named, *by_position}]
            near = nearest(name, free) or _similar_parameter(name, free)
            suggested.add(near)
            fix = f"did you mean {near!r}?" if near else suggestion(name, call.known)
            yield f"there is no parameter {name!r}; {fix}"
    if call.count > len(call.positional):
        values = f"{call.count} positional values" if call.count > 1 else "a positional value"
        allowed = f"only {', '.join(call.positional)} can be" if call.positional else "none can be"
        yield f"it got {values}, but {allowed} positional; write name=value"
    present = {*by_position, *call.named, *suggested}
    for name in call.required:
        if name in call.known and name not in present:
            yield f"{name} is missing; add {name}=…"


def _similar_parameter(name: str, known: Sequence[str]) -> str | None:
    """Return a parameter that contains the name or is contained in it: timeout_s for timeout."""
    return next((item for item in known if len(item) > 2 and (item in name or name in item)), None)


def _value_mistakes(kind: Callable[..., Any], values: Mapping[str, object]) -> Iterator[str]:
    """Yield values of a wrong type, and texts with placeholders that would never be filled in."""
    hints = _type_hints(kind)
    for name, value in values.items():
        if not has_type(value, hints.get(name, Any)):
            mismatch = find_type_mismatch(value, hints[name])
            choice = suggest_choice(mismatch.value, mismatch.expected)
            expected = describe_type(mismatch.expected)
            fix = f"did you mean {choice!r}?" if choice else f"use {expected}"
            is_secret = name in _SECRET_PARAMETERS
            shown = describe_value(mismatch.value, by_type=is_secret)
            yield f"invalid {name}{mismatch.path} {shown}: {fix}"
        elif getattr(kind, "is_function", False) and not takes_template(kind, name):
            yield from filter(None, (template_mistake(name, text) for text in _texts(value)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.items():
            yield from _texts(entry)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


@functools.cache
def _signature(kind: type) -> inspect.Signature:
    return inspect.signature(kind)


@functools.cache
def _type_hints(kind: Callable[..., Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _nested_types(kind: Any) -> Iterator[Any]:
    yield typing.get_origin(kind) or kind
    for argument in typing.get_args(kind):
        yield from _nested_types(argument)
