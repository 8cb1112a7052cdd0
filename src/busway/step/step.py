"""A step: one transformation and how to run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from busway.declarable import Declarable
from busway.errors import Interruption

DEFAULT_TIMEOUT_S = 60.0


class StepTimeout(Interruption):
    """Raised inside a step that exceeds its timeout; ``except Exception`` does not catch it."""


class Step(Declarable, frozen=True):
    """A plain function and how to run it.

    ``function`` takes an event, or the list of a whole batch's events where ``batch`` is set, and
    returns for each event ``None`` (filtered), a dict or an event, or an iterable of them; an
    ``async`` one may yield them. ``timeout_s`` limits one call, in seconds. ``concurrency`` is how
    many calls of an ``async`` function go on at a time.
    """

    function: Callable[..., Any]
    timeout_s: float = DEFAULT_TIMEOUT_S
    batch: bool = False
    concurrency: int = 16

    @property
    def name(self) -> str:
        """The display name."""
        return getattr(self.function, "__qualname__", type(self.function).__qualname__)

    @property
    def is_async(self) -> bool:
        called = getattr(self.function, "__call__", None)  # noqa: B004 - an object with async call
        return any(
            inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
            for one in (self.function, called)
        )


class StepFailure(msgspec.Struct, frozen=True):
    """A step failed for one event: the exception's name, its text, and the traceback.

    ``took_ms`` is how long the call took, where that was measured.
    """

    error: str
    reason: str
    traceback: str | None = None
    took_ms: float | None = None


Results = list[object]
StepResult = Results | StepFailure
"""The outcome of one event: its results (none: filtered), or the failure."""


def timeout_failure(timeout_s: float, took_s: float) -> StepFailure:
    """Return the failure of a call that exceeded its timeout."""
    took_ms = round(took_s * 1000, 3)
    return StepFailure("StepTimeout", f"the step took over {timeout_s:g} s", None, took_ms)
