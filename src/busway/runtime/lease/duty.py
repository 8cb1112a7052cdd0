"""Duties: what is done once in the whole installation, by the one worker that has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from busway.clock import Clock
from busway.control.worker import DUTY, expect_no_heartbeat
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.loop import Loop, LoopBody

POLL_INTERVAL_S = 0.5
REPLAY_DUTY = "replay/"
"""Before a flow's name: the duty to work its replays."""


class Duties:
    """Those that this worker has."""

    def __init__(
        self, ledger: Ledger, clock: Clock, worker: str, is_trusted: Callable[[], bool]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._worker = worker.encode()
        self._is_trusted = is_trusted
        self._held: set[str] = set()
        self._abandoned: set[str] = set()
        self._holders: Mapping[str, bytes] = {}
        self._changing = asyncio.Lock()

    @property
    def worker(self) -> str:
        """The id of this worker."""
        return self._worker.decode()

    def holds(self, name: str) -> bool:
        """Say whether a duty is this worker's now."""
        return name in self._held and self._is_trusted()

    def was_abandoned(self, name: str) -> bool:
        """Say whether the one who had it before did not give it up in order."""
        return name in self._abandoned

    async def wait(self) -> None:
        """Return when it is worth asking again."""
        await self._clock.sleep(POLL_INTERVAL_S)

    async def refresh(self) -> None:
        """Let go of what somebody else has by now; to be done before this worker is sure again."""
        self._holders = await self._ledger.get_values(DUTY)
        self._held = {name for name in self._held if self._holders.get(DUTY + name) == self._worker}

    async def acquire(
        self, wanted: Iterable[str], live_workers: Set[str], heartbeats: Mapping[str, bytes]
    ) -> None:
        """Take each wanted duty that at the last review nobody alive had.

        ``heartbeats`` are those by which who is not living was found dead.
        """
        async with self._changing:
            for name in wanted:
                holder = self._holders.get(DUTY + name)
                if holder == self._worker:
                    self._held.add(name)
                elif holder is None or holder.decode() not in live_workers:
                    # noted first: it may be taken also where the ledger's answer is lost
                    (self._abandoned.discard if holder is None else self._abandoned.add)(name)
                    dead = (
                        [] if holder is None else [expect_no_heartbeat(holder.decode(), heartbeats)]
                    )
                    if await self._change(name, holder, self._worker, dead):
                        self._held.add(name)

    async def release(self) -> None:
        """Let others have them, at once; what is being taken is taken first."""
        async with self._changing:
            mine, self._held = self._held, set()
            for name in mine:
                await self._change(name, self._worker, None)

    async def _change(
        self,
        name: str,
        before: bytes | None,
        after: bytes | None,
        others: Sequence[ValueChange] = (),
    ) -> bool:
        return await self._ledger.change_values(
            [ValueChange(DUTY + name, after, expected=before), *others]
        )


def only_on_duty(
    name: str, duties: Duties | None, body: LoopBody, on_standby: Callable[[], None] | None = None
) -> LoopBody:
    """Return the turn of a loop that works only while this worker has a duty, and else rests."""
    if duties is None:
        return body

    async def turn(loop: Loop) -> None:
        if duties.holds(name):
            await body(loop)
            return
        if on_standby is not None:
            on_standby()
        with loop.interruptible():
            await duties.wait()

    return turn
