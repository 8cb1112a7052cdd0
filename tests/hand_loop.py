"""An event loop in which time passes only when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from busway.testing import ManualClock


class HandLoop(asyncio.SelectorEventLoop):
    """A loop whose timers go by a clock that is turned by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = ManualClock()

    def time(self) -> float:
        return self.hand.monotonic()


def by_hand(play: Callable[[ManualClock], Coroutine[Any, Any, None]]) -> None:
    """Run a test that turns the clock of its loop: nothing times out while the machine is slow."""
    loop = HandLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(play(loop.hand))
