"""Dead letters: list, show, redrive, discard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from busway.errors import BuswayError
from busway.lane import Query, Trouble, Verdict
from busway.ports import Ledger

PAGE = 500


async def dead_letters(
    ledger: Ledger, flow: str | None = None, limit: int = 100
) -> Sequence[Trouble]:
    """Return up to ``limit`` dead letters, of one flow or of all, by flow, partition, offset."""
    found: list[Trouble] = []
    after: tuple[str, int, int] | None = None
    while len(found) < limit:
        most = min(PAGE, limit - len(found))
        page = await ledger.troubles(Query(state="dead", flow=flow, after=after, limit=most))
        found += page
        if len(page) < most:
            break
        after = (page[-1].flow, page[-1].partition, page[-1].offset)
    return found


async def find(ledger: Ledger, name: str) -> Sequence[Trouble]:
    """Return the dead letters called ``name``: an event's id, or ``flow/partition/offset``.

    Raises :class:`BuswayError` when there is none.
    """
    place = parse_place(name)
    if place is not None:
        flow, partition, offset = place
        query = Query(
            state="dead",
            flow=flow,
            partition=partition,
            after=(flow, partition, offset - 1),
            limit=1,
        )
        found = [one for one in await ledger.troubles(query) if one.offset == offset]
    else:
        found = list(await ledger.troubles(Query(state="dead", event_id=name)))
    if not found:
        raise BuswayError(f"there is no dead letter {name!r}; `busway dead list` shows them")
    return found


def parse_place(name: str) -> tuple[str, int, int] | None:
    """Return flow, partition and offset of ``flow/partition/offset``, or ``None``."""
    flow, _, rest = name.partition("/")
    partition, _, offset = rest.partition("/")
    if flow and partition.isdecimal() and offset.isdecimal():
        return flow, int(partition), int(offset)
    return None


def place_of(trouble: Trouble) -> str:
    """Return the name of a trouble, as ``flow/partition/offset``."""
    return f"{trouble.flow}/{trouble.partition}/{trouble.offset}"


async def redrive(ledger: Ledger, letters: Sequence[Trouble], at: datetime) -> int:
    """Give dead letters to their flow again, with all attempts anew; return how many went."""
    return await _judge(ledger, [_redriven(letter, at) for letter in letters])


async def discard(ledger: Ledger, letters: Sequence[Trouble], at: datetime) -> int:
    """Give dead letters up for good; return how many went."""
    verdicts = [
        Verdict(one.flow, one.partition, one.offset, one.attempts, one.state, "discarded", at)
        for one in letters
    ]
    return await _judge(ledger, verdicts)


def _redriven(letter: Trouble, at: datetime) -> Verdict:
    again = msgspec.structs.replace(letter, state="parked", attempts=0, due=at)
    return Verdict(
        letter.flow, letter.partition, letter.offset, letter.attempts, letter.state, again, at
    )


async def _judge(ledger: Ledger, verdicts: Sequence[Verdict]) -> int:
    done = 0
    for first in range(0, len(verdicts), PAGE):
        done += sum(await ledger.judge(verdicts[first : first + PAGE]))
    return done
