"""What a retry begins is noted, and what another process began and did not end has failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from busway import App, Backoff
from busway.audit_record import AuditRecord
from busway.errors import StoreError
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.flow import compile_app
from busway.lane import Counts
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.lane.claim import RetryClaims
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.worker.flow_runner import create_log_reader
from busway.settlement import Settlement
from busway.sinks import console
from busway.telemetry import Metrics
from busway.testing import ManualClock, MemoryLedger, memory_stores

CLOCK = ManualClock()
NOW = CLOCK.now()


def parked(offset: int, key: str | None, *, head: bool = True, begun: bool = False) -> FailedEvent:
    return FailedEvent(
        *("f", 0, offset, b'{"specversion":"1.0"}', f"e{offset}", "parked", NOW),
        attempts=0,
        due=NOW if head else None,
        key=key,
        attempt_started_at=NOW if begun else None,
    )


async def world(*troubles: FailedEvent, ledger: Ledger | None = None) -> tuple[Ledger, RetryClaims]:
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
    follow = create_log_reader(program, stores.log)
    hub = Context(
        follow,
        ledger,
        CLOCK,
        stores.log.identity,
        TelemetryObserver(Metrics(), SettlementLog(CLOCK)),
        DueRetries(ledger, CLOCK),
    )
    return ledger, RetryClaims(hub, program.flows[0])


async def kept(ledger: Ledger) -> Sequence[FailedEvent]:
    return await ledger.failed_events(FailedEventQuery(flow="f"))


async def test_what_is_begun_is_noted_and_let_go_of_without_an_attempt() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"))
    begun = await claims.claim(await kept(ledger))
    assert [one.offset for one in begun] == [0, 1]
    assert all(one.attempt_started_at == NOW for one in await kept(ledger))
    again = await claims.claim(await kept(ledger))
    assert [one.attempts for one in again] == [0, 0], "what it began itself was not interrupted"
    await claims.release()
    assert [(one.attempts, one.attempt_started_at) for one in await kept(ledger)] == [(0, None)] * 2


async def test_a_verdict_lets_go_of_what_was_begun_beside_it() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"))
    await claims.claim(await kept(ledger))
    await claims.resolve([Resolution("f", 0, 0, 0, "parked", "delivered", NOW)])
    assert [(one.offset, one.attempts, one.attempt_started_at) for one in await kept(ledger)] == [
        (1, 0, None)
    ]


async def test_what_another_process_began_has_failed_once_more() -> None:
    ledger, claims = await world(parked(0, "a", begun=True), parked(1, "b"))
    begun = await claims.claim(await kept(ledger))
    assert [one.offset for one in begun] == [1]
    first, _ = await kept(ledger)
    assert (first.attempts, first.error, first.attempt_started_at) == (1, "interrupted", None)
    assert first.due == NOW + timedelta(minutes=5)


@pytest.mark.parametrize("begun", [False, True])
async def test_nothing_overtakes_an_interrupted_event_of_its_key(begun: bool) -> None:
    ledger, claims = await world(
        parked(0, "a", begun=True), parked(1, "a", head=False, begun=begun), parked(2, "b")
    )
    going = await claims.claim(await kept(ledger))
    assert [one.offset for one in going] == [2]
    first, second, _ = await kept(ledger)
    assert (first.attempts, second.attempts) == (1, 0)
    assert (second.due, second.attempt_started_at) == (None, None)


async def test_nothing_overtakes_an_event_of_its_key_that_somebody_else_changed() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "a", head=False), parked(2, "b"))
    first, *others = await kept(ledger)
    stale = msgspec.structs.replace(first, attempts=3)
    going = await claims.claim([stale, *others])
    assert [one.offset for one in going] == [2]


@pytest.mark.parametrize("ahead", [False, True])
async def test_one_that_waits_never_gets_a_time_of_its_own(ahead: bool) -> None:
    """What was held back was begun too; the process ended before it let go of it."""
    ledger, claims = await world(
        parked(0, "a", head=ahead), parked(1, "a", head=False, begun=True), parked(2, "b")
    )
    assert [one.offset for one in await claims.claim(await kept(ledger))] == [2]
    _, second, _ = await kept(ledger)
    assert (second.attempts, second.due, second.attempt_started_at) == (0, None, None)
    going = await claims.claim(await kept(ledger))
    assert [one.offset for one in going] == [0, 1, 2]


@pytest.mark.parametrize("beside_another", [False, True])
async def test_what_was_edited_and_redriven_meanwhile_is_left_alone(beside_another: bool) -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"))
    begun, _ = await claims.claim(await kept(ledger))
    edited = msgspec.structs.replace(
        begun, event=b'{"specversion":"1.0","data":1}', attempt_started_at=None
    )
    assert await ledger.resolve([Resolution("f", 0, 0, 0, "parked", edited, NOW)]) == [True]
    if beside_another:
        await claims.resolve([Resolution("f", 0, 1, 0, "parked", "delivered", NOW)])
    else:
        await claims.release()
    assert (await kept(ledger))[0] == edited


class Losing(MemoryLedger):
    """A ledger whose answer to the next verdicts is lost on the way."""

    loses = True

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        applied = await super().resolve(resolutions, audit, changes)
        if self.loses:
            self.loses = False
            raise StoreError("the connection was lost")
        return applied


async def test_a_claim_whose_answer_is_lost_is_its_own_and_no_attempt() -> None:
    ledger, claims = await world(parked(0, "a"), parked(1, "b"), ledger=Losing())
    with pytest.raises(StoreError):
        await claims.claim(await kept(ledger))
    assert all(one.attempt_started_at == NOW for one in await kept(ledger)), (
        "it has landed all the same"
    )
    begun = await claims.claim(await kept(ledger))
    assert [(one.offset, one.attempts) for one in begun] == [(0, 0), (1, 0)]
    await claims.release()
    assert [(one.attempts, one.attempt_started_at) for one in await kept(ledger)] == [(0, None)] * 2
