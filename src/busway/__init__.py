"""Busway: event-driven ETL in one Python package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from busway.exports import (
        Adaptive,
        App,
        Backoff,
        BreakerPolicy,
        BuswayError,
        Event,
        Reject,
        Step,
        Window,
        env,
    )

__all__ = [
    "Adaptive",
    "App",
    "Backoff",
    "BreakerPolicy",
    "BuswayError",
    "Event",
    "Reject",
    "Step",
    "Window",
    "env",
]


def __getattr__(name: str) -> object:
    """Import the exports on first use: most commands need few of them."""
    if name not in __all__:
        raise AttributeError(f"module 'busway' has no attribute {name!r}")
    from busway import exports  # noqa: PLC0415 - that is the point

    globals().update({export: getattr(exports, export) for export in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
