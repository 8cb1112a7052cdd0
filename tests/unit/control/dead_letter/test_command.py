"""Dead letters given to their flow again, edited on the way, or given up: few at once."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec

from busway.control.conservation_check import check_conservation
from busway.control.context import ControlContext
from busway.control.dead_letter.command import DeadLetterCommand, apply_command
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    select_dead_letters,
)
from busway.failed_event import FailedEvent, FailedEventQuery
from busway.ports import NewBatch
from busway.testing import ManualClock, memory_stores
from dead_letter import AT, event, filled, letter, parked

DOUBLE = "def patch(event):\n    return {'n': event.data['n'] * 2}\n"
REDRIVE = DeadLetterCommand(action="redrive", actor="ann", reason="mended")


async def control(*letters: FailedEvent) -> ControlContext:
    stores = memory_stores(1)
    await stores.log.append([NewBatch(0, [one.event for one in letters])], AT)
    await filled(stores.ledger, *letters)
    return ControlContext(
        log=stores.log, ledger=stores.ledger, clock=ManualClock(AT + timedelta(hours=1))
    )


async def standing(of: ControlContext) -> list[FailedEvent]:
    assert await check_conservation(of.log, of.ledger) == []
    return list(await of.ledger.failed_events(FailedEventQuery()))


async def test_a_redrive_resets_attempts_and_keeps_failures() -> None:
    of = await control(letter(0), letter(1))
    dealt = await apply_command(of, [letter(0)], REDRIVE)
    assert (dealt.done, dealt.changed, dealt.skipped) == (1, 0, ())
    redriven, other = await standing(of)
    now = of.clock.now()
    again = {"state": "parked", "attempts": 0, "due": now, "since": now}
    assert redriven == msgspec.structs.replace(letter(0), **again)
    assert other == letter(1)


async def test_actions_are_audited() -> None:
    of = await control(letter(0), letter(1))
    await apply_command(of, [letter(0)], REDRIVE)
    (entry,) = await of.ledger.audit_records("dead/orders/0/0")
    assert (entry.actor, entry.action, entry.reason) == ("ann", "dead redrive", "mended")
    assert entry.at == of.clock.now()
    assert entry.before is not None
    assert entry.after is not None
    assert json.loads(bytes(entry.before)) == {
        "state": "dead",
        "attempts": 3,
        "error": "KeyError",
        "places": ["orders/0/0"],
    }
    assert json.loads(bytes(entry.after)) == {"state": "parked"}


async def test_a_concurrently_redriven_dead_letter_is_skipped() -> None:
    of = await control(letter(0), letter(1))
    await apply_command(of, [letter(0)], REDRIVE)
    dealt = await apply_command(of, [letter(0), letter(1)], REDRIVE)
    assert dealt.done == 1
    assert [(one.place, one.error) for one in dealt.skipped] == [
        ("orders/0/0", "it was changed in the meantime")
    ]
    actions = [entry.action for entry in await of.ledger.audit_records()]
    assert actions == ["dead redrive refused", "dead redrive", "dead redrive"]


async def test_a_patch_edits_on_the_way_and_what_it_cannot_edit_stays_dead() -> None:
    of = await control(letter(0), letter(1), letter(2, event=event(2, data={})))
    order = DeadLetterCommand(action="redrive", actor="ann", patch=DOUBLE)
    found = await select_dead_letters(of.ledger, DeadLetterSelection())
    dealt = await apply_command(of, found.failed_events, order)
    assert (dealt.done, dealt.changed) == (2, 1)
    assert [one.place for one in dealt.skipped] == ["orders/0/2"]
    zero, one, two = await standing(of)
    assert (zero.state, one.state, two.state) == ("parked", "parked", "dead")
    assert (zero.event, json.loads(one.event)["data"]) == (event(0), {"n": 2})
    edit = (await of.ledger.audit_records("dead/orders/0/1"))[0]
    assert (edit.action, bytes(edit.before or b"")) == ("dead edit", event(1))


async def test_a_patch_alone_leaves_them_dead() -> None:
    of = await control(letter(0), letter(1))
    dealt = await apply_command(
        of, [letter(0), letter(1)], DeadLetterCommand(action="patch", actor="ann", patch=DOUBLE)
    )
    assert (dealt.done, dealt.changed) == (1, 1)
    zero, one = await standing(of)
    assert (zero, one.state, one.attempts) == (letter(0), "dead", 3)
    assert json.loads(one.event)["data"] == {"n": 2}


async def test_what_is_discarded_is_remembered_with_who_and_why() -> None:
    of = await control(letter(0), letter(1))
    await apply_command(
        of, [letter(0)], DeadLetterCommand(action="discard", actor="ann", reason="a test")
    )
    assert await standing(of) == [letter(1)]
    (gone,) = await of.ledger.resolved_events("e0")
    assert (gone.outcome, gone.actor, gone.reason) == ("discarded", "ann", "a test")
    assert gone.failures == letter(0).failures


async def test_of_a_key_the_first_is_due_and_the_others_wait() -> None:
    of = await control(letter(0, key="k"), letter(1, key="k"), parked(2, "k"), parked(3, "l"))
    await apply_command(of, [letter(1, key="k"), letter(0, key="k")], REDRIVE)
    due = [one.due for one in await standing(of)]
    assert due == [of.clock.now(), None, None, AT]


async def test_one_behind_a_parked_event_of_its_key_waits() -> None:
    of = await control(parked(0, "k"), letter(1, key="k"), letter(2, key="l"))
    await apply_command(of, [letter(1, key="k"), letter(2, key="l")], REDRIVE)
    assert [one.due for one in await standing(of)] == [AT, None, of.clock.now()]
