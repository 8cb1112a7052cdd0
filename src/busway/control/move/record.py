"""Select and convert the records of a ledger for a move.

The heartbeats and duties of the processes at the origin are not moved. A lane whose process was
killed is marked with a dead worker, so that the next worker takes it over as after a crash.
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
"""The worker of lanes that were in use when the last process was killed; it never comes back."""
_NOT_MOVED = (WORKER, DUTY)
_TARGET_OWNED = (RUNNING, LOG_IDENTITY_KEY, MOVE_KEY)


class MovedRecords(msgspec.Struct, frozen=True):
    """How records are moved.

    ``ended_uncleanly`` is whether a single process was killed; a killed worker is still in its
    lanes. ``has_markers`` is whether either is the case, so that the in-flight markers matter.
    ``digest`` is a digest of the lanes and values; it changes if the ledger is used.
    """

    ended_uncleanly: bool
    has_markers: bool
    digest: str = ""

    def convert(self, records: Iterable[LedgerRecord]) -> Sequence[LedgerRecord]:
        """Return the records as the target gets them."""
        return [self._convert(record) for record in records if self._is_moved(record)]

    def _is_moved(self, record: LedgerRecord) -> bool:
        if not isinstance(record, NamedValue):
            return True
        stays = record.name in _TARGET_OWNED or record.name.startswith(_NOT_MOVED)
        return not stays and (self.has_markers or not record.name.startswith(IN_FLIGHT))

    def _convert(self, record: LedgerRecord) -> LedgerRecord:
        if not isinstance(record, Lane):
            return record
        died = not is_replay_lane(record.flow) and (
            self.ended_uncleanly or record.worker is not None
        )
        return msgspec.structs.replace(record, worker=ENDED_UNCLEANLY if died else None)


async def moved_records(ledger: Ledger) -> MovedRecords:
    """Read how the last process ended, and what the ledger holds."""
    lanes, values = await ledger.lanes(), await ledger.get_values("")
    unclean = RUNNING in values
    moving = MovedRecords(unclean, unclean or any(lane.worker is not None for lane in lanes))
    return msgspec.structs.replace(moving, digest=_digest(moving, lanes, values))


def _digest(moving: MovedRecords, lanes: Sequence[Lane], values: Mapping[str, bytes]) -> str:
    named = [NamedValue(name, value) for name, value in values.items()]
    records = moving.convert([*lanes, *named])
    return str(xxhash.xxh3_128_hexdigest(msgspec.msgpack.encode(records)))
