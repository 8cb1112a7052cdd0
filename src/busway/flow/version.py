"""A flow's code version: a hash of what it runs."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any


def version_of(functions: list[Callable[..., Any]], declared: str, home: Path) -> str:
    """Return 12 hex digits for some functions and a declaration.

    Counted are the source of each function and of the functions below ``home`` (the folder of the
    flows file) that it calls by a global name, and the values of the constants it reads. What it
    reads from elsewhere (a database, an installed package) is not.
    """
    found: dict[str, str] = {}
    for function in functions:
        _gather(inspect.unwrap(function), home, found)
    text = "\0".join([declared, *(f"{name}\0{found[name]}" for name in sorted(found))])
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _gather(function: Any, home: Path, found: dict[str, str]) -> None:
    code = getattr(function, "__code__", None)
    if not isinstance(function, FunctionType) or not isinstance(code, CodeType):
        found[f"{type(function).__module__}.{type(function).__qualname__}"] = _source(
            type(function)
        )
        return
    name = f"{function.__module__}.{function.__qualname__}:{code.co_firstlineno}"
    name = name if "<lambda>" in name else name.rpartition(":")[0]
    if name in found:
        return
    found[name] = _source(function)
    for used in _names(code):
        _gather_global(used, function.__globals__.get(used), home, found)


def _gather_global(name: str, value: object, home: Path, found: dict[str, str]) -> None:
    if isinstance(value, FunctionType):
        if Path(value.__code__.co_filename).resolve().is_relative_to(home):
            _gather(value, home, found)
    elif isinstance(value, str | int | float | bool | tuple | frozenset | None):
        found[f"={name}"] = repr(value)


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
