"""The tree of causes and effects of an event, from the ids that events carry. Pure."""

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
    """An event of a lineage: its head, and its position in the log."""

    head: EventHead
    hit: Hit

    @property
    def place(self) -> LogPosition:
        return LogPosition(self.hit.partition, self.hit.offset)


class Lineage:
    """Related events, by id and by cause; ``known_as`` maps the name from which the ids of outputs
    are derived to the flow."""

    def __init__(self, members: Iterable[LineageEvent], known_as: Mapping[str, str]) -> None:
        self._by_id: dict[str, LineageEvent] = {}
        self._by_cause: defaultdict[str, list[LineageEvent]] = defaultdict(list)
        self._known_as = known_as
        for member in sorted(members, key=lambda member: member.hit.appended_at):
            self._by_id.setdefault(member.head.id, member)
            if member.head.causationid is not None:
                self._by_cause[member.head.causationid].append(member)

    def causes(self, of: EventHead) -> tuple[list[LineageEvent], str | None]:
        """Return the causes of an event, the nearest first, and the id of a cause that is missing.

        The id is ``None`` if the chain is complete or returns to itself.
        """
        chain: list[LineageEvent] = []
        visited, cause_id = {of.id}, of.causationid
        while cause_id is not None and cause_id not in visited and len(chain) < MAX_DEPTH:
            visited.add(cause_id)
            cause = self._by_id.get(cause_id)
            if cause is None:
                return chain, cause_id
            chain.append(cause)
            cause_id = cause.head.causationid
        return chain, None

    def producing_flow(self, cause: EventHead, effect: EventHead) -> str | None:
        """Return the flow that made an event from its cause, if its id is derived from it."""
        identity = f"{cause.source}\0{cause.id}"
        for known_as, flow in self._known_as.items():
            if any(derived_id(known_as, identity, n) == effect.id for n in range(_MAX_OUTPUTS)):
                return flow
        return None

    def effects(self, cause: EventHead) -> tuple[RelatedEvent, ...]:
        """Return the direct and indirect effects of an event: at most 200 events."""
        return self._effects(cause, frozenset({cause.id}), _Budget(MAX_RELATED))

    def as_related(self, members: Sequence[LineageEvent]) -> tuple[RelatedEvent, ...]:
        """Return events without their effects."""
        return tuple(as_related(member) for member in members)

    def _effects(
        self, cause: EventHead, visited: frozenset[str], budget: _Budget
    ) -> tuple[RelatedEvent, ...]:
        if len(visited) > MAX_DEPTH:
            return ()
        effects = []
        for member in budget.take(self._by_cause[cause.id]):
            if member.head.id in visited:
                continue
            below = self._effects(member.head, visited | {member.head.id}, budget)
            related = as_related(member)
            flow = self.producing_flow(cause, member.head)
            effects.append(msgspec.structs.replace(related, flow=flow, effects=below))
        return tuple(effects)


class _Budget:
    """The number of related events that may still be listed."""

    def __init__(self, limit: int) -> None:
        self._remaining = limit

    def take(self, members: Iterable[LineageEvent]) -> Iterator[LineageEvent]:
        for member in members:
            if self._remaining <= 0:
                return
            self._remaining -= 1
            yield member


def as_related(member: LineageEvent) -> RelatedEvent:
    """Return an event as an entry of a lineage."""
    return RelatedEvent(
        id=member.head.id,
        source=member.head.source,
        type=member.head.type,
        position=member.place,
        appended_at=member.hit.appended_at,
    )
