"""Find the operations, which the modules of ``busway.control.operation`` declare."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import busway.control.operation as package
from busway.control.operation import CommandGroup, Operation


def module_names() -> Sequence[str]:
    """Return the names of the modules that have operations, without loading them."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load_module(name: str) -> ModuleType:
    """Return a module that has operations."""
    return importlib.import_module(f"{package.__name__}.{name}")


def operations_of(module: ModuleType) -> Iterator[Operation[Any, Any]]:
    """Yield the operations that a module declares, in their order."""
    for value in vars(module).values():
        if isinstance(value, Operation) and value.module == module.__name__:
            yield value


def groups_of(module: ModuleType) -> Iterator[CommandGroup]:
    """Yield the help of the command words that a module declares."""
    return (value for value in vars(module).values() if isinstance(value, CommandGroup))


def all_operations() -> Iterator[Operation[Any, Any]]:
    """Yield all operations."""
    for name in module_names():
        yield from operations_of(load_module(name))
