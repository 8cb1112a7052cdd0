"""Checks of values against the annotations of declarations, with texts for error messages.

Annotations that no declaration uses are not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from busway.spelling import nearest

TYPE_NAMES: Mapping[Any, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}
_MAX_SHOWN_LENGTH = 60


def has_type(value: object, kind: Any) -> bool:
    """Return whether a value has a type.

    >>> has_type("orders", str | None), has_type(True, int), has_type("ab", Iterable[str])
    (True, False, False)
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(has_type(value, argument) for argument in arguments)
    if origin is Literal:
        return any(value == argument and type(value) is type(argument) for argument in arguments)
    if origin is Callable:
        return callable(value)
    if isinstance(origin, type):
        return isinstance(value, origin) and _has_item_types(value, origin, arguments)
    return not isinstance(kind, type) or _is_instance(value, kind)


def _is_instance(value: object, kind: type) -> bool:
    if kind in (int, float) and isinstance(value, bool):
        return False
    return kind is Any or isinstance(value, int | float if kind is float else kind)


def _has_item_types(value: object, origin: type, arguments: tuple[Any, ...]) -> bool:
    if isinstance(value, Mapping):
        key, item = arguments
        return all(has_type(k, key) and has_type(v, item) for k, v in value.items())
    if isinstance(value, tuple) and origin is tuple and Ellipsis not in arguments:
        pairs = zip(value, arguments, strict=False)
        return len(value) == len(arguments) and all(has_type(item, of) for item, of in pairs)
    if isinstance(value, list | tuple | set | frozenset):
        return all(has_type(item, arguments[0]) for item in value)
    return not isinstance(value, str | bytes)


class TypeMismatch(msgspec.Struct, frozen=True):
    """A value that does not have the expected type; ``path`` leads to it in the outer value."""

    path: str
    value: object
    expected: Any


def find_type_mismatch(value: object, kind: Any) -> TypeMismatch:
    """Return the value without the type, or the first such item of a collection.

    >>> find_type_mismatch({"a": 5}, dict[str, str] | None)
    TypeMismatch(path="['a']", value=5, expected=<class 'str'>)
    """
    for choice in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        origin, arguments = get_origin(choice), get_args(choice)
        if not isinstance(origin, type) or not isinstance(value, origin):
            continue
        if isinstance(value, Mapping):
            return next(
                TypeMismatch(f"[{key!r}]", item, arguments[1])
                for key, item in value.items()
                if not has_type(key, arguments[0]) or not has_type(item, arguments[1])
            )
        if isinstance(value, list | tuple) and (origin is not tuple or Ellipsis in arguments):
            index = next(i for i, item in enumerate(value) if not has_type(item, arguments[0]))
            return TypeMismatch(f"[{index}]", value[index], arguments[0])
    return TypeMismatch("", value, kind)


def describe_type(kind: Any) -> str:
    """Describe the values of a type.

    >>> describe_type(int | None), describe_type(Literal["json", "ndjson"] | float)
    ('an integer or None', "'json', 'ndjson' or a number")
    """
    words = list(dict.fromkeys(_type_words(kind)))
    return ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else words[0]


def _type_words(kind: Any) -> Iterator[str]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for argument in arguments:
            yield from _type_words(argument)
    elif origin is Literal:
        yield from map(repr, arguments)
    elif origin is Callable:
        yield "a function"
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield "a dict"
    elif isinstance(origin, type) and issubclass(origin, Iterable):
        yield "a list"
    elif kind in TYPE_NAMES:
        yield TYPE_NAMES[kind]
    elif getattr(kind, "__name__", "") != "UnsetType":
        name = str(getattr(kind, "__name__", kind))
        yield getattr(kind, "shown", with_article(name))


def suggest_choice(value: object, kind: Any) -> str:
    """Return the choice of a literal type that is nearest to a text, or an empty text.

    >>> suggest_choice("slak", Literal["slack", "teams"])
    'slack'
    """
    if get_origin(kind) in (Union, UnionType):
        return next(
            filter(None, (suggest_choice(value, argument) for argument in get_args(kind))), ""
        )
    if get_origin(kind) is not Literal or not isinstance(value, str):
        return ""
    choices = [argument for argument in get_args(kind) if isinstance(argument, str)]
    return nearest(value, choices) or ""


def describe_value(value: object, *, by_type: bool = False) -> str:
    """Return a short value itself, else, or if ``by_type``, its type."""
    text = repr(value)
    is_short = isinstance(value, str | int | float | bool | None) and len(text) <= _MAX_SHOWN_LENGTH
    return text if is_short and not by_type else f"of type {type(value).__name__}"


def with_article(name: str) -> str:
    """Return a name with its article, ``a`` or ``an``."""
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"
