"""What a retry begins is noted, and what another process began and did not end has failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from busway import App, Backoff
from busway.errors import StoreError
from busway.flow import compile_app
from busway.lane import Audit, Change, Counts, Query, Settlement, Trouble, Verdict
from busway.ports import Ledger
from busway.runtime.crew.crew import follow_for
from busway.runtime.due import Dues
from busway.runtime.hub import Hub
from busway.runtime.lane.claim import Claims
from busway.runtime.observe.observer import Observer
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import HandClock, MemoryLedger, memory_stores

CLOCK = HandClock()
NOW = CLOCK.now()


def parked(offset: int, key: str | None, *, head: bool = True, begun: bool = False) -> Trouble:
    return Trouble(
        *("f", 0, offset, b'{"specversion":"1.0"}', f"e{offset}", "parked", NOW),
        attempts=0,
        due=NOW if head else None,
        key=key,
        begun_at=NOW if begun else None,
    )


async def world(*troubles: Trouble, ledger: Ledger | None = None) -> tuple[Ledger, Claims]:
    """Return a ledger with these troubles, and the claims of a process that has just started."""
    stores = memory_stores(1)
    ledger = ledger or stores.ledger
    app = App("t")
    app.flow("f", to=console(), retry=Backoff(first="5m", jitter=0), ordered=True)
    program = compile_app(app)
    await ledger.open_lane("f", 0, 0)
    count = len(troubles)
    settled = Settlement("f", 0, 0, count, NOW, "v", Counts(parked=count), troubles)
    assert await ledger.settle([settled]) == [True]
    follow = follow_for(program, stores.log)
    hub = Hub(follow, ledger, CLOCK, stores.log.identity, Observer(Metrics()), Dues(ledger, CLOCK))
    return ledger, Claims(hub, program.flows[0])


async def kept(ledger: Ledger) -> Sequence[Trouble]:
    return await ledger.troubles(Query(flow="f"))


async def test_what_is_begun_is_noted_and_let_go_of_without_an_attempt() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"))
    begun = await claims.begin(await kept(ledger))
    assert [one.offset for one in begun] == [0, 1]
    assert all(one.begun_at == NOW for one in await kept(ledger))
    again = await claims.begin(await kept(ledger))
    assert [one.attempts for one in again] == [0, 0], "what it began itself was not interrupted"
    await claims.end()
    assert [(one.attempts, one.begun_at) for one in await kept(ledger)] == [(0, None)] * 2


async def test_a_verdict_lets_go_of_what_was_begun_beside_it() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"))
    await claims.begin(await kept(ledger))
    await claims.judge([Verdict("f", 0, 0, 0, "parked", "delivered", NOW)])
    assert [(one.offset, one.attempts, one.begun_at) for one in await kept(ledger)] == [
        (1, 0, None)
    ]


async def test_what_another_process_began_has_failed_once_more() -> None:
    ledger, claims = await world(parked(0, "a", begun=True), parked(1, "b"))
    begun = await claims.begin(await kept(ledger))
    assert [one.offset for one in begun] == [1]
    first, _ = await kept(ledger)
    assert (first.attempts, first.error, first.begun_at) == (1, "interrupted", None)
    assert first.due == NOW + timedelta(minutes=5)


@pytest.mark.parametrize("begun", [False, True])
async def test_nothing_overtakes_an_interrupted_event_of_its_key(begun: bool) -> None:
    ledger, claims = await world(
        parked(0, "a", begun=True), parked(1, "a", head=False, begun=begun), parked(2, "b")
    )
    going = await claims.begin(await kept(ledger))
    assert [one.offset for one in going] == [2]
    first, second, _ = await kept(ledger)
    assert (first.attempts, second.attempts) == (1, 0)
    assert (second.due, second.begun_at) == (None, None)


async def test_nothing_overtakes_an_event_of_its_key_that_somebody_else_changed() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "a", head=False), parked(2, "b"))
    first, *others = await kept(ledger)
    stale = msgspec.structs.replace(first, attempts=3)
    going = await claims.begin([stale, *others])
    assert [one.offset for one in going] == [2]


@pytest.mark.parametrize("ahead", [False, True])
async def test_one_that_waits_never_gets_a_time_of_its_own(ahead: bool) -> None:
    """What was held back was begun too; the process ended before it let go of it."""
    ledger, claims = await world(
        parked(0, "a", head=ahead), parked(1, "a", head=False, begun=True), parked(2, "b")
    )
    assert [one.offset for one in await claims.begin(await kept(ledger))] == [2]
    _, second, _ = await kept(ledger)
    assert (second.attempts, second.due, second.begun_at) == (0, None, None)
    going = await claims.begin(await kept(ledger))
    assert [one.offset for one in going] == [0, 1, 2]


@pytest.mark.parametrize("beside_another", [False, True])
async def test_what_was_edited_and_redriven_meanwhile_is_left_alone(beside_another: bool) -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"))
    begun, _ = await claims.begin(await kept(ledger))
    edited = msgspec.structs.replace(begun, event=b'{"specversion":"1.0","data":1}', begun_at=None)
    assert await ledger.judge([Verdict("f", 0, 0, 0, "parked", edited, NOW)]) == [True]
    if beside_another:
        await claims.judge([Verdict("f", 0, 1, 0, "parked", "delivered", NOW)])
    else:
        await claims.end()
    assert (await kept(ledger))[0] == edited


class Losing(MemoryLedger):
    """A ledger whose answer to the next verdicts is lost on the way."""

    loses = True

    async def judge(
        self,
        verdicts: Sequence[Verdict],
        audit: Sequence[Audit] = (),
        changes: Sequence[Change] = (),
    ) -> Sequence[bool]:
        applied = await super().judge(verdicts, audit, changes)
        if self.loses:
            self.loses = False
            raise StoreError("the connection was lost")
        return applied


async def test_a_claim_whose_answer_is_lost_is_its_own_and_no_attempt() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"), ledger=Losing())
    with pytest.raises(StoreError):
        await claims.begin(await kept(ledger))
    assert all(one.begun_at == NOW for one in await kept(ledger)), "it has landed all the same"
    begun = await claims.begin(await kept(ledger))
    assert [(one.offset, one.attempts) for one in begun] == [(0, 0), (1, 0)]
    await claims.end()
    assert [(one.attempts, one.begun_at) for one in await kept(ledger)] == [(0, None)] * 2
