"""Flows: declarations, and how they are compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busway.flow.declaration import App
from busway.flow.flow import CompiledApp, Flow

if TYPE_CHECKING:
    from busway.flow.compile import compile_app
    from busway.flow.load import load_app, split_target

__all__ = ["App", "CompiledApp", "Flow", "compile_app", "load_app", "split_target"]


def __getattr__(name: str) -> object:
    """Import the compiler and the loader on first use: most commands need neither."""
    if name == "compile_app":
        from busway.flow.compile import compile_app  # noqa: PLC0415 - that is the point

        return compile_app
    if name in ("load_app", "split_target"):
        from busway.flow import load  # noqa: PLC0415 - that is the point

        return getattr(load, name)
    raise AttributeError(f"module 'busway.flow' has no attribute {name!r}")
