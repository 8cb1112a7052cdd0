"""Which of a ledger's records go along in a move, and as what. Pure, but for one look.

What only concerns the processes that ran there stays: their beats and their duties. A lane whose
process ended in the middle is marked as left by somebody who died, so that whoever takes it works
with the same care as a restart would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import xxhash

from busway.control.record import HAND, RUNNING
from busway.control.worker import DUTY, WORKER
from busway.lane import Lane, is_replay
from busway.ports import Ledger
from busway.ports.moving import BELONGS_TO, MOVE, Record, Value

DIED = "moved"
"""The worker of lanes that were in hand when the last process ended: it never lives again."""
_STAYS = (WORKER, DUTY)
_OWN = (RUNNING, BELONGS_TO, MOVE)


class Moving(msgspec.Struct, frozen=True):
    """How records go along.

    ``unclean`` is whether a process that worked alone ended in the middle; of workers that did, the
    lanes have them still. ``marked`` is whether either is so, and what was in hand matters.
    ``seen`` stands for the lanes and the values as they are: a ledger that was used meanwhile has
    another one.
    """

    unclean: bool
    marked: bool
    seen: str = ""

    def taken(self, records: Iterable[Record]) -> Sequence[Record]:
        """Return what the target gets of some records."""
        return [self._as_taken(one) for one in records if self._goes(one)]

    def _goes(self, one: Record) -> bool:
        if not isinstance(one, Value):
            return True
        stays = one.name in _OWN or one.name.startswith(_STAYS)
        return not stays and (self.marked or not one.name.startswith(HAND))

    def _as_taken(self, one: Record) -> Record:
        if not isinstance(one, Lane):
            return one
        died = not is_replay(one.flow) and (self.unclean or one.worker is not None)
        return msgspec.structs.replace(one, worker=DIED if died else None)


async def moving_of(ledger: Ledger) -> Moving:
    """Look how the last process ended, and what the ledger holds."""
    lanes, values = await ledger.lanes(), await ledger.get("")
    unclean = RUNNING in values
    moving = Moving(unclean, unclean or any(lane.worker is not None for lane in lanes))
    return msgspec.structs.replace(moving, seen=_digest(moving, lanes, values))


def _digest(moving: Moving, lanes: Sequence[Lane], values: Mapping[str, bytes]) -> str:
    named = [Value(name, value) for name, value in values.items()]
    records = moving.taken([*lanes, *named])
    return str(xxhash.xxh3_128_hexdigest(msgspec.msgpack.encode(records)))
