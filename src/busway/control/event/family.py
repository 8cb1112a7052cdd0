"""What caused an event and what it caused: a tree, from the ids that events carry. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from busway.clock import derived_id
from busway.control.event.story import Place, Relative
from busway.control.log.scan import Sighting
from busway.control.log.search import Head

MOST_RELATIVES = 200
DEEPEST = 32
_OUTPUTS = 16


class Member(msgspec.Struct, frozen=True):
    """An event of a family: its head, and where it was seen."""

    head: Head
    seen: Sighting

    @property
    def place(self) -> Place:
        return Place(self.seen.partition, self.seen.offset)


class Family:
    """Events that belong together, by id and by cause; ``known_as`` are flows by the name that
    their outputs' ids are derived from."""

    def __init__(self, members: Iterable[Member], known_as: Mapping[str, str]) -> None:
        self._by_id: dict[str, Member] = {}
        self._by_cause: defaultdict[str, list[Member]] = defaultdict(list)
        self._known_as = known_as
        for one in sorted(members, key=lambda one: one.seen.came_at):
            self._by_id.setdefault(one.head.id, one)
            if one.head.causationid is not None:
                self._by_cause[one.head.causationid].append(one)

    def causes(self, of: Head) -> tuple[list[Member], str | None]:
        """Return the events that led to one, the nearest first, and the id of one that is missing.

        Nothing is missing where the chain begins, or comes back to itself.
        """
        chain: list[Member] = []
        seen, wanted = {of.id}, of.causationid
        while wanted is not None and wanted not in seen and len(chain) < DEEPEST:
            seen.add(wanted)
            found = self._by_id.get(wanted)
            if found is None:
                return chain, wanted
            chain.append(found)
            wanted = found.head.causationid
        return chain, None

    def made_by(self, cause: Head, one: Head) -> str | None:
        """Return the flow that made an event of its cause, where its id is derived from it."""
        identity = f"{cause.source}\0{cause.id}"
        for known_as, flow in self._known_as.items():
            if any(derived_id(known_as, identity, n) == one.id for n in range(_OUTPUTS)):
                return flow
        return None

    def caused(self, by: Head) -> tuple[Relative, ...]:
        """Return what an event caused, and what that caused, and so on: at most 200 events."""
        return self._children(by, frozenset({by.id}), _Left(MOST_RELATIVES))

    def relatives(self, members: Sequence[Member]) -> tuple[Relative, ...]:
        """Return events without what they caused."""
        return tuple(relative(one) for one in members)

    def _children(self, by: Head, seen: frozenset[str], left: _Left) -> tuple[Relative, ...]:
        if len(seen) > DEEPEST:
            return ()
        found = []
        for one in left.some(self._by_cause[by.id]):
            if one.head.id in seen:
                continue
            below = self._children(one.head, seen | {one.head.id}, left)
            made = relative(one)
            flow = self.made_by(by, one.head)
            found.append(msgspec.structs.replace(made, flow=flow, caused=below))
        return tuple(found)


class _Left:
    """How many relatives may be told still."""

    def __init__(self, most: int) -> None:
        self._most = most

    def some(self, members: Iterable[Member]) -> Iterator[Member]:
        for one in members:
            if self._most <= 0:
                return
            self._most -= 1
            yield one


def relative(one: Member) -> Relative:
    """Return an event as a relative of another."""
    return Relative(
        id=one.head.id,
        source=one.head.source,
        type=one.head.type,
        place=one.place,
        came_at=one.seen.came_at,
    )
