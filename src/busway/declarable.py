"""What users declare with is called with wrong parameters: where, which, and the likely ones.

While a flows file is loaded such mistakes are noted, so that all are reported together; anywhere
else, as in a test, the call raises :class:`CallError`.
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
    with_article,
)

P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = str(Path(__file__).parent) + "/"
_collected: ContextVar[list[str] | None] = ContextVar("busway_call_mistakes", default=None)
_SECRET_PARAMETERS = frozenset({"dsn", "url", "headers", "username", "password", "sign"})
"""Parameters whose values are not shown."""
_ANY_TEXT_PARAMETERS = frozenset({"username", "password", "sign", "data"})
"""Parameters that may hold any text."""
_PLACEHOLDER = re.compile(r"\{\{?\s*[A-Za-z_]\w*(?:[.\[][^{}\s]*)?\s*\}?\}")
_CREDENTIALS = re.compile(r"^(\w+://)[^/]*@")


class CallError(FlowError, TypeError):
    """A declaration was called with wrong parameters; the text lists all of them."""


class InvalidCall:
    """Stands for what a wrong call would have returned, until all mistakes are reported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __repr__(self) -> str:
        return "(a wrong call)"

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        """Return a function that it decorates, as it is."""
        return arguments[0] if arguments and callable(arguments[0]) else self


@contextlib.contextmanager
def collecting_mistakes() -> Iterator[list[str]]:
    """Note the mistakes of calls in the list that this yields, instead of raising them."""
    found: list[str] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def caller_location() -> tuple[str, int]:
    """Return the file and the line that called into this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return ("?", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def contains_invalid(value: object) -> bool:
    """Say whether a value is, or has in it, what a wrong call returned."""
    if isinstance(value, list | tuple):
        return any(map(contains_invalid, value))
    return isinstance(value, InvalidCall)


def template_mistake(name: str, value: object) -> str:
    """Return what is wrong with a text that looks like a template and is none.

    >>> template_mistake("table", "orders_{data[country]}")[:33]
    "table is not a template, and '{da"
    """
    text = _CREDENTIALS.sub(r"\1", value) if isinstance(value, str) else ""
    found = _PLACEHOLDER.search(text)
    if found is None:
        return ""
    return (
        f"{name} is not a template, and {found[0]!r} in it would be taken as it is: {name} is the"
        f" same for every event; return the value from the step as data, or declare a flow for"
        f" each {name}"
    )


def takes_template(kind: Callable[..., Any], name: str) -> bool:
    """Say whether a parameter takes any text, or one with places for what an event says."""
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
    """A record that users write in a flows file; its parameters are checked when it is called."""

    is_function: ClassVar[bool] = False
    """Whether users know it by the name of a function: ``postgres``, not ``Postgres``."""


class DeclarableFunction(Declarable, frozen=True):
    """A record that users know as a function, like a sink or a condition."""

    is_function: ClassVar[bool] = True


def checks_parameters(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function or a method check the parameters that it is called with."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        if contains_invalid([*arguments, *named.values()]) and not _takes_anything(signature):
            return cast(T, InvalidCall())
        mistakes = list(_call_mistakes(signature, arguments, named))
        if not mistakes and not _takes_anything(signature):
            given = signature.bind(*arguments, **named).arguments
            mistakes = list(_value_mistakes(function, given))
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
    noted = _collected.get()
    if noted is None:
        raise CallError("\n".join(lines))
    noted += lines
    return InvalidCall()


def _function_name(function: Callable[..., Any]) -> str:
    """Return what people call a function: ``App``, ``app.flow``, ``env``."""
    owner, _, name = function.__qualname__.rpartition(".")
    return owner if name == "__init__" else f"{owner.lower()}.{name}" if owner else name


def _public_name(kind: type) -> str:
    if not getattr(kind, "is_function", False):
        return kind.__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _call_mistakes(
    signature: inspect.Signature, arguments: Sequence[object], named: Mapping[str, object]
) -> Iterator[str]:
    """Yield why the call does not work: parameters that there are not, twice, missing."""
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        yield from _named_mistakes(_CallParameters(signature, len(arguments), named))


class _CallParameters:
    """The parameters of a call: those that there are, and those that were given."""

    def __init__(
        self, signature: inspect.Signature, count: int, named: Mapping[str, object]
    ) -> None:
        every = [
            parameter for parameter in signature.parameters.values() if parameter.name != "self"
        ]
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        count -= "self" in signature.parameters
        self.known = [one.name for one in every if one.kind is not one.VAR_KEYWORD]
        self.takes_any = len(self.known) < len(every)
        self.positional = [one.name for one in every if one.kind in kinds]
        self.required = [one.name for one in every if one.default is one.empty]
        self.count = count
        self.named = named


def _named_mistakes(one: _CallParameters) -> Iterator[str]:
    by_place = one.positional[: one.count]
    meant = set()
    for name in one.named:
        if name in by_place:
            yield f"{name} is given twice, by place and by name"
        elif name not in one.known and not one.takes_any:
            free = [known for known in one.known if known not in {*one.named, *by_place}]
            near = nearest(name, free) or _similar_parameter(name, free)
            meant.add(near)
            fix = f"did you mean {near!r}?" if near else suggestion(name, one.known)
            yield f"there is no parameter {name!r}; {fix}"
    if one.count > len(one.positional):
        extra = f"{one.count} positional values" if one.count > 1 else "a positional value"
        most = f"only {', '.join(one.positional)} can be given so" if one.positional else ""
        yield f"it got {extra}; {most or 'it takes none'}: write name=value"
    given = {*by_place, *one.named, *meant}
    for name in one.required:
        if name in one.known and name not in given:
            yield f"{name} is missing; give {name}=…"


def _similar_parameter(name: str, known: Sequence[str]) -> str | None:
    """Return the parameter that a name is a part of, or has as a part: timeout for timeout_s."""
    return next((one for one in known if len(one) > 2 and (one in name or name in one)), None)


def _value_mistakes(kind: Callable[..., Any], given: Mapping[str, object]) -> Iterator[str]:
    """Yield which values are not of their parameter's type, or would never be filled in."""
    hints = _type_hints(kind)
    for name, value in given.items():
        if not has_type(value, hints.get(name, Any)):
            way, found, kind_of = find_type_mismatch(value, hints[name])
            choice = suggest_choice(found, kind_of)
            fix = f"did you mean {choice!r}?" if choice else f"give {describe_type(kind_of)}"
            what = (
                with_article(type(found).__name__)
                if name in _SECRET_PARAMETERS
                else describe_value(found)
            )
            yield f"{name}{way} is {what}; {fix}"
        elif getattr(kind, "is_function", False) and not takes_template(kind, name):
            yield from filter(None, (template_mistake(name, text) for text in _texts(value)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.items():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


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
