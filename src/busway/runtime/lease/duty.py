"""Duties: what is done once in the whole installation, by the one worker that has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from busway.clock import Clock
from busway.control.worker import DUTY, still
from busway.lane import Change
from busway.ports import Ledger
from busway.runtime.loop import Loop, Turn

LOOK_EVERY_S = 0.5
REPLAY = "replay/"
"""Before a flow's name: the duty to work its replays."""


class Duties:
    """Those that this worker has."""

    def __init__(self, ledger: Ledger, clock: Clock, worker: str, sure: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._worker = worker.encode()
        self._sure = sure
        self._mine: set[str] = set()
        self._left: set[str] = set()
        self._found: Mapping[str, bytes] = {}
        self._moving = asyncio.Lock()

    @property
    def worker(self) -> str:
        """The id of this worker."""
        return self._worker.decode()

    def has(self, name: str) -> bool:
        """Say whether a duty is this worker's now."""
        return name in self._mine and self._sure()

    def was_left(self, name: str) -> bool:
        """Say whether the one who had it before did not give it up in order."""
        return name in self._left

    async def wait(self) -> None:
        """Return when it is worth asking again."""
        await self._clock.sleep(LOOK_EVERY_S)

    async def review(self) -> None:
        """Let go of what somebody else has by now; to be done before this worker is sure again."""
        self._found = await self._ledger.get(DUTY)
        self._mine = {name for name in self._mine if self._found.get(DUTY + name) == self._worker}

    async def take(
        self, wanted: Iterable[str], living: Set[str], beats: Mapping[str, bytes]
    ) -> None:
        """Take each wanted duty that at the last review nobody alive had.

        ``beats`` are those by which who is not living was found dead.
        """
        async with self._moving:
            for name in wanted:
                holder = self._found.get(DUTY + name)
                if holder == self._worker:
                    self._mine.add(name)
                elif holder is None or holder.decode() not in living:
                    # noted first: it may be taken also where the ledger's answer is lost
                    (self._left.discard if holder is None else self._left.add)(name)
                    dead = [] if holder is None else [still(holder.decode(), beats)]
                    if await self._change(name, holder, self._worker, dead):
                        self._mine.add(name)

    async def release(self) -> None:
        """Let others have them, at once; what is being taken is taken first."""
        async with self._moving:
            mine, self._mine = self._mine, set()
            for name in mine:
                await self._change(name, self._worker, None)

    async def _change(
        self, name: str, before: bytes | None, after: bytes | None, others: Sequence[Change] = ()
    ) -> bool:
        return await self._ledger.change([Change(DUTY + name, after, expected=before), *others])


def on_duty(
    name: str, duties: Duties | None, loop_turn: Turn, rest: Callable[[], None] | None = None
) -> Turn:
    """Return the turn of a loop that works only while this worker has a duty, and else rests."""
    if duties is None:
        return loop_turn

    async def turn(loop: Loop) -> None:
        if duties.has(name):
            await loop_turn(loop)
            return
        if rest is not None:
            rest()
        with loop.idle():
            await duties.wait()

    return turn
