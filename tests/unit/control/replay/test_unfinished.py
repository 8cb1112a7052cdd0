"""Status has a row for replays that are not finished, and asks nothing about the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Raw

from busway.control.context import ControlContext
from busway.control.job import Job, JobState, create_job
from busway.control.replay.operation import unfinished_replays
from busway.delivery.replay import replay_lane_name
from busway.lane import Counts
from busway.settlement import Settlement
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from busway.testing.ledger_sample import failed_event

AT = datetime(2030, 1, 1, tzinfo=UTC)


class Asked(MemoryLedger):
    """Counts how often it is asked for values."""

    asked = 0

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        self.asked += 1
        return await super().get_values(prefix)


async def replayed(ledger: MemoryLedger, id: str, state: JobState, dead: int = 0) -> None:
    """Keep a replay of one event, which was delivered or is dead."""
    made = Job(
        id=id, kind="replay", flow="f", actor="ann", created_at=AT, changed_at=AT, state=state
    )
    spec, progress = Raw(b'{"flow": "f"}'), Raw(b'{"spans": []}')
    await create_job(ledger, msgspec.structs.replace(made, spec=spec, progress=progress))
    name = replay_lane_name("f", id)
    await ledger.open_lane(name, 0, 0)
    lost = (failed_event(0, flow=name, state="dead", due=None),) * dead
    counts = Counts(delivered=1 - dead, dead=dead)
    made_of = Settlement(name, 0, 0, 1, AT, "v", counts, lost)
    assert await ledger.settle([made_of]) == [True]


async def test_finished_ones_cost_nothing() -> None:
    ledger = Asked()
    control = ControlContext(log=MemoryLog(1), ledger=ledger, clock=ManualClock())
    for number in range(100):
        await replayed(ledger, f"r{number}", "done")
    await replayed(ledger, "r-runs", "running")
    await replayed(ledger, "r-dead", "done", dead=1)
    ledger.asked = 0
    assert {one.id for one in await unfinished_replays(control)} == {"r-runs", "r-dead"}
    assert ledger.asked < 10
