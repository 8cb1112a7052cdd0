"""The readers of a program: their loops, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from busway.control.source.record import source_pauses
from busway.control.source.status import holding
from busway.delivery.operator_control import Pause
from busway.flow import CompiledApp
from busway.ports import ReaderSource
from busway.runtime.lease.duty import Duties
from busway.runtime.loop import Loop
from busway.runtime.outage_log import OutageLog
from busway.runtime.reader.loop import ReaderLoop
from busway.runtime.reader.session import ReaderHost, ReaderObserver
from busway.runtime.signal import Signal

LOOK_EVERY_S = 0.5
"""How soon a pause by another process is noticed."""
READER = "reader/"
"""Before a source's name: the duty to read from it."""


class Readers:
    """Reads from the sources of a program; with ``duties`` from those that are this worker's."""

    def __init__(
        self,
        program: CompiledApp,
        host: ReaderHost,
        outage: OutageLog,
        duties: Duties | None = None,
        observer: ReaderObserver | None = None,
    ) -> None:
        if observer is not None:
            host = replace(host, observer=observer)
        sources = [one for one in program.sources if isinstance(one, ReaderSource)]
        if duties is not None:
            host = replace(host, worker=duties.worker)
        self._readers = [ReaderLoop(source, host, self._allowed) for source in sources]
        self._host = host
        self._duties = duties
        self._pauses: Mapping[str, Pause] | None = None
        self._changed = Signal(host.clock)
        self._loops = [Loop(READER + one.source.name, one.turn, outage) for one in self._readers]
        if self._loops:
            self._loops.append(Loop("readers", self.turn, outage))

    def wanted(self) -> Sequence[str]:
        """Return the duties without which nothing is read."""
        return [READER + one.source.name for one in self._readers]

    def start(self) -> None:
        """Begin to read."""
        for loop in self._loops:
            loop.start()

    def wake(self) -> None:
        """Look at once at what people have changed."""
        self._changed.notify()

    async def stop(self, within_s: float) -> bool:
        """Append and save what was read, and stop; say whether all ended in time."""
        for loop in self._loops:
            loop.stop()
        return all(await asyncio.gather(*(loop.join(within_s) for loop in self._loops)))

    async def turn(self, loop: Loop) -> None:
        """Look who is paused, and wait."""
        before, self._pauses = self._pauses, await source_pauses(self._host.ledger)
        if before != self._pauses:
            for one in self._readers:
                one.wake()
        with loop.interruptible():
            await self._changed.wait(LOOK_EVERY_S)

    def _allowed(self, name: str) -> bool:
        """Say whether this worker may read from a source now."""
        if self._duties is not None and not self._duties.holds(READER + name):
            return False
        if self._pauses is None:
            return False
        return holding(self._pauses, name, self._host.clock.now()) is None
