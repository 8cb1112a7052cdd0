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
    """Import what the package offers when it is used first: a command needs little of it."""
    if name not in __all__:
        raise AttributeError(f"module 'busway' has no attribute {name!r}")
    from busway import exports  # noqa: PLC0415 - that is the point

    globals().update({one: getattr(exports, one) for one in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
