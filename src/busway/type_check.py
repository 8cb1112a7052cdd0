"""Whether a value has the type that a parameter declares, and what to give if it has not.

Only what annotations of declarations use is known: anything else is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from busway.spelling import nearest

TYPE_NAMES: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}
_MAX_SHOWN_LENGTH = 60


def has_type(value: object, kind: Any) -> bool:
    """Say whether a value is of a type.

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
        return all(has_type(one, key) and has_type(of, item) for one, of in value.items())
    if isinstance(value, tuple) and origin is tuple and Ellipsis not in arguments:
        pairs = zip(value, arguments, strict=False)
        return len(value) == len(arguments) and all(has_type(one, of) for one, of in pairs)
    if isinstance(value, list | tuple | set | frozenset):
        return all(has_type(one, arguments[0]) for one in value)
    return not isinstance(value, str | bytes)


def find_type_mismatch(value: object, kind: Any) -> tuple[str, object, Any]:
    """Return what does not fit: the value itself, or a member of it with the way to it.

    >>> find_type_mismatch({"a": 5}, dict[str, str] | None)
    ("['a']", 5, <class 'str'>)
    """
    for one in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        origin, arguments = get_origin(one), get_args(one)
        if not isinstance(origin, type) or not isinstance(value, origin):
            continue
        if isinstance(value, Mapping):
            return next(
                (f"[{key!r}]", of, arguments[1])
                for key, of in value.items()
                if not has_type(key, arguments[0]) or not has_type(of, arguments[1])
            )
        if isinstance(value, list | tuple) and (origin is not tuple or Ellipsis in arguments):
            place = next(at for at, of in enumerate(value) if not has_type(of, arguments[0]))
            return f"[{place}]", value[place], arguments[0]
    return "", value, kind


def describe_type(kind: Any) -> str:
    """Say what a parameter takes.

    >>> describe_type(int | None), describe_type(Literal["json", "ndjson"] | float)
    ('a whole number or None', "'json', 'ndjson' or a number")
    """
    found = list(dict.fromkeys(_type_words(kind)))
    return ", ".join(found[:-1]) + " or " + found[-1] if len(found) > 1 else found[0]


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
    """Return the choice of a type that a text was meant to be, or an empty text.

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


def describe_value(value: object) -> str:
    """Return a value for a person, with its type where the value does not show it."""
    text = repr(value)
    if isinstance(value, str | int | float | bool | None) and len(text) <= _MAX_SHOWN_LENGTH:
        return text
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """Return a name with ``a`` or ``an`` before it."""
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"
