"""Ask until there is an answer: right after something was done to who answers there may be none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

ANSWERED_S = 60.0
LOOK_EVERY_S = 0.5
T = TypeVar("T")


async def answered(ask: Callable[[], Awaitable[T]], passes: Callable[[Exception], bool]) -> T:
    """Return the answer; what ``passes`` is asked again, for a while."""
    deadline = time.monotonic() + ANSWERED_S
    while True:
        try:
            return await ask()
        except Exception as error:
            if not passes(error) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(LOOK_EVERY_S)
