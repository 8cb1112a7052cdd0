"""What caused an event and what it caused: a tree, from the ids that events carry. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from busway.clock import derived_id
from busway.control.event.story_record import LogPosition, RelatedEvent
from busway.control.log.scan import Hit
from busway.control.log.search import EventHead

MAX_RELATED = 200
MAX_DEPTH = 32
_MAX_OUTPUTS = 16


class LineageEvent(msgspec.Struct, frozen=True):
    """An event of a family: its head, and where it was seen."""

    head: EventHead
    hit: Hit

    @property
    def place(self) -> LogPosition:
        return LogPosition(self.hit.partition, self.hit.offset)


class Lineage:
    """Events that belong together, by id and by cause; ``known_as`` are flows by the name that
    their outputs' ids are derived from."""

    def __init__(self, members: Iterable[LineageEvent], known_as: Mapping[str, str]) -> None:
        self._by_id: dict[str, LineageEvent] = {}
        self._by_cause: defaultdict[str, list[LineageEvent]] = defaultdict(list)
        self._known_as = known_as
        for one in sorted(members, key=lambda one: one.hit.appended_at):
            self._by_id.setdefault(one.head.id, one)
            if one.head.causationid is not None:
                self._by_cause[one.head.causationid].append(one)

    def causes(self, of: EventHead) -> tuple[list[LineageEvent], str | None]:
        """Return the events that led to one, the nearest first, and the id of one that is missing.

        Nothing is missing where the chain begins, or comes back to itself.
        """
        chain: list[LineageEvent] = []
        seen, wanted = {of.id}, of.causationid
        while wanted is not None and wanted not in seen and len(chain) < MAX_DEPTH:
            seen.add(wanted)
            found = self._by_id.get(wanted)
            if found is None:
                return chain, wanted
            chain.append(found)
            wanted = found.head.causationid
        return chain, None

    def producing_flow(self, cause: EventHead, one: EventHead) -> str | None:
        """Return the flow that made an event of its cause, where its id is derived from it."""
        identity = f"{cause.source}\0{cause.id}"
        for known_as, flow in self._known_as.items():
            if any(derived_id(known_as, identity, n) == one.id for n in range(_MAX_OUTPUTS)):
                return flow
        return None

    def effects(self, cause: EventHead) -> tuple[RelatedEvent, ...]:
        """Return what an event caused, and what that caused, and so on: at most 200 events."""
        return self._effects(cause, frozenset({cause.id}), _Budget(MAX_RELATED))

    def as_related(self, members: Sequence[LineageEvent]) -> tuple[RelatedEvent, ...]:
        """Return events without what they caused."""
        return tuple(as_related(one) for one in members)

    def _effects(
        self, by: EventHead, seen: frozenset[str], left: _Budget
    ) -> tuple[RelatedEvent, ...]:
        if len(seen) > MAX_DEPTH:
            return ()
        found = []
        for one in left.take(self._by_cause[by.id]):
            if one.head.id in seen:
                continue
            below = self._effects(one.head, seen | {one.head.id}, left)
            made = as_related(one)
            flow = self.producing_flow(by, one.head)
            found.append(msgspec.structs.replace(made, flow=flow, effects=below))
        return tuple(found)


class _Budget:
    """How many relatives may be told still."""

    def __init__(self, limit: int) -> None:
        self._most = limit

    def take(self, members: Iterable[LineageEvent]) -> Iterator[LineageEvent]:
        for one in members:
            if self._most <= 0:
                return
            self._most -= 1
            yield one


def as_related(one: LineageEvent) -> RelatedEvent:
    """Return an event as a relative of another."""
    return RelatedEvent(
        id=one.head.id,
        source=one.head.source,
        type=one.head.type,
        position=one.place,
        appended_at=one.hit.appended_at,
    )
