"""Which of a ledger's records go along in a move, and as what. Pure, but for one look.

What only concerns the processes that ran there stays: their beats and their duties. A lane whose
process ended in the middle is marked as left by somebody who died, so that whoever takes it works
with the same care as a restart would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import xxhash

from busway.control.record import IN_FLIGHT, RUNNING
from busway.control.worker import DUTY, WORKER
from busway.lane import Lane, is_replay_lane
from busway.named_value import NamedValue
from busway.ports import Ledger
from busway.ports.move import LOG_IDENTITY_KEY, MOVE_KEY, LedgerRecord

ENDED_UNCLEANLY = "moved"
"""The worker of lanes that were in hand when the last process ended: it never lives again."""
_NOT_MOVED = (WORKER, DUTY)
_TARGET_OWNED = (RUNNING, LOG_IDENTITY_KEY, MOVE_KEY)


class MovedRecords(msgspec.Struct, frozen=True):
    """How records go along.

    ``ended_uncleanly`` is whether a process that worked alone ended in the middle; of workers that
    did, the lanes have them still. ``has_markers`` is whether either is so, and what was in hand
    matters. ``digest`` stands for the lanes and the values as they are: a ledger that was used
    meanwhile has another one.
    """

    ended_uncleanly: bool
    has_markers: bool
    digest: str = ""

    def convert(self, records: Iterable[LedgerRecord]) -> Sequence[LedgerRecord]:
        """Return what the target gets of some records."""
        return [self._convert(one) for one in records if self._is_moved(one)]

    def _is_moved(self, one: LedgerRecord) -> bool:
        if not isinstance(one, NamedValue):
            return True
        stays = one.name in _TARGET_OWNED or one.name.startswith(_NOT_MOVED)
        return not stays and (self.has_markers or not one.name.startswith(IN_FLIGHT))

    def _convert(self, one: LedgerRecord) -> LedgerRecord:
        if not isinstance(one, Lane):
            return one
        died = not is_replay_lane(one.flow) and (self.ended_uncleanly or one.worker is not None)
        return msgspec.structs.replace(one, worker=ENDED_UNCLEANLY if died else None)


async def moved_records(ledger: Ledger) -> MovedRecords:
    """Look how the last process ended, and what the ledger holds."""
    lanes, values = await ledger.lanes(), await ledger.get_values("")
    unclean = RUNNING in values
    moving = MovedRecords(unclean, unclean or any(lane.worker is not None for lane in lanes))
    return msgspec.structs.replace(moving, digest=_digest(moving, lanes, values))


def _digest(moving: MovedRecords, lanes: Sequence[Lane], values: Mapping[str, bytes]) -> str:
    named = [NamedValue(name, value) for name, value in values.items()]
    records = moving.convert([*lanes, *named])
    return str(xxhash.xxh3_128_hexdigest(msgspec.msgpack.encode(records)))
