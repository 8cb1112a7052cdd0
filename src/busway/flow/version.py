"""A flow's code version: a hash of the code that it runs."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any


def version_of(functions: list[Callable[..., Any]], declared: str, home: Path) -> str:
    """Return the version of some functions and a declaration, 12 hex digits.

    It covers the source of each function and of the functions below ``home`` (the folder of the
    flows file) that it calls by a global name, and the values of the constants that it reads. It
    does not cover what it reads from elsewhere, such as a database or an installed package.
    """
    parts: dict[str, str] = {}
    for function in functions:
        _collect(inspect.unwrap(function), home, parts)
    text = "\0".join([declared, *(f"{name}\0{parts[name]}" for name in sorted(parts))])
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _collect(function: Any, home: Path, parts: dict[str, str]) -> None:
    if isinstance(function, partial):
        parts[f"partial {_source(function.func)}"] = repr((function.args, function.keywords))
        _collect(function.func, home, parts)
        return
    code = getattr(function, "__code__", None)
    if not isinstance(function, FunctionType) or not isinstance(code, CodeType):
        parts[f"{type(function).__module__}.{type(function).__qualname__}"] = _source(
            type(function)
        )
        return
    source = _source(function)
    name = f"{function.__module__}.{function.__qualname__}"
    name = f"{name} {source}" if "<lambda>" in name else name
    if name in parts:
        return
    parts[name] = source
    for place, value in _globals_used(code, function, home):
        _collect_global(place, value, home, parts)


def _globals_used(
    code: CodeType, function: FunctionType, home: Path
) -> Iterator[tuple[str, object]]:
    """Yield the globals that a function uses, also those of modules below home."""
    names = list(_names(code))
    for name in names:
        value = function.__globals__.get(name)
        yield f"{function.__module__}.{name}", value
        if isinstance(value, ModuleType) and _is_below(getattr(value, "__file__", None), home):
            for inner in names:
                yield f"{value.__name__}.{inner}", vars(value).get(inner)


def _is_below(file: str | None, home: Path) -> bool:
    return file is not None and Path(file).resolve().is_relative_to(home)


def _collect_global(name: str, value: object, home: Path, parts: dict[str, str]) -> None:
    if isinstance(value, FunctionType):
        if _is_below(value.__code__.co_filename, home):
            _collect(value, home, parts)
    elif isinstance(value, str | int | float | bool | tuple | frozenset | None):
        parts[f"={name}"] = _stable_repr(value)


def _stable_repr(value: object) -> str:
    """Return a text that is the same in every process, where the order of a set may differ."""
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_stable_repr, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_stable_repr, value))})"
    return repr(value)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _source(thing: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        return repr((code.co_code, code.co_names)) if code else repr(thing)
