"""An HTTP destination on a bad day."""

from __future__ import annotations

import asyncio
import random

from http_target import Answer, HttpTarget

AWAY_S = 0.2


def moody(chance: random.Random) -> Answer:
    """Answer, mostly."""
    roll = chance.random()
    if roll < 0.01:
        return Answer(500)
    if roll < 0.02:
        return Answer(429, {"Retry-After": "0"})
    return Answer(drop=True) if roll < 0.025 else Answer()


async def restart(target: HttpTarget) -> None:
    """Have it drop every connection, and come back."""
    await target.stop()
    await asyncio.sleep(AWAY_S)  # how long it is away
    await target.start()
