"""A patch: what it may return, what goes wrong in it, and what is shown before."""

from __future__ import annotations

import json

import msgspec
import pytest

from busway.control.dead_letter.patch import (
    PatchedDeadLetter,
    apply_patch,
    load_patch,
    patch_previews,
)
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.errors import BuswayError
from busway.failed_event import FailedEventQuery
from busway.testing import MemoryLedger
from dead_letter import event, filled, letter

LONG_S = 60.0


async def made(body: str, number: int = 1, timeout_s: float = 5.0) -> PatchedDeadLetter:
    function = await load_patch(f"def patch(event):\n    {body}\n")
    (found,) = await apply_patch(function, [letter(number)], timeout_s)
    return found


@pytest.mark.parametrize(
    "body",
    [
        "return event.data | {'m': 2}",
        "event.data['m'] = 2; return event.data",
        "event.data['m'] = 2; return event",
        "return event.replace(data={'n': 1, 'm': 2})",
    ],
)
async def test_it_returns_the_new_data_or_an_event(body: str) -> None:
    found = await made(body)
    assert found.effect == "changed"
    after = json.loads(found.after.event)
    assert after == json.loads(event(1)) | {"data": {"n": 1, "m": 2}}


@pytest.mark.parametrize(
    "body",
    [
        "return None",
        "pass",
        "event.data['m'] = 2",
        "return event",
        "return dict(event.data)",
        "return event.replace(data=event.data)",
    ],
)
async def test_none_and_the_same_leave_it(body: str) -> None:
    found = await made(body)
    assert (found.effect, found.after) == ("unchanged", letter(1))


async def test_a_change_of_the_last_of_many_digits_is_a_change() -> None:
    raw = event(1).replace(b'{"n": 1}', b'{"n": 12345678901234567.89}')
    patch = await load_patch(
        "from decimal import Decimal\n"
        "def patch(event):\n"
        "    return {'n': event.data['n'] + Decimal('0.01')}\n"
    )
    (found,) = await apply_patch(patch, [msgspec.structs.replace(letter(1), event=raw)])
    assert found.effect == "changed"
    assert b"12345678901234567.90" in found.after.event


async def test_the_number_one_differs_from_true() -> None:
    assert (await made("return {'n': True}")).effect == "changed"
    assert (await made("return {'n': 1.0}")).effect == "changed"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return event.data['no']", "KeyError: 'no' (line 2)"),
        ("return [event]", "a patch returns the new data (a dict), an Event, or None, not list"),
        ("return event.replace(id='other')", "id must stay 'e1', not become 'other'"),
        ("return {'x': {1, 2} - 3}", "TypeError"),
        ("return {'x': object()}", "cannot write the event as JSON"),
        ("exit(1)", "SystemExit: 1 (line 2)"),
    ],
)
async def test_a_failed_patch_leaves_the_event_and_reports_why(body: str, says: str) -> None:
    found = await made(body)
    assert found.effect == "failed"
    assert says in found.error
    assert found.after == letter(1)


async def test_a_patch_that_times_out_leaves_the_event() -> None:
    source = "import time\ndef patch(event):\n    while event.id == 'e1': pass\n    return {}\n"
    function = await load_patch(source)
    first, second = await apply_patch(function, [letter(1), letter(2)], 0.2)
    assert (first.effect, "StepTimeout" in first.error) == ("failed", True)
    assert second.effect == "changed"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = = 1", "cannot be loaded: SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("\n\n1 / 0", r"ZeroDivisionError: division by zero \(line 3\)"),
        ("patch = 1", "no function patch"),
        ("async def patch(event): ...", "is async"),
    ],
)
async def test_a_patch_that_cannot_be_loaded_is_reported(source: str, says: str) -> None:
    with pytest.raises(BuswayError, match=says):
        await load_patch(source)


async def test_the_preview_shows_every_member_and_changes_none() -> None:
    ledger = MemoryLedger()
    letters = [letter(offset) for offset in range(5)]
    await filled(ledger, *letters)
    source = """
def patch(event):
    if event.data["n"] == 1:
        raise ValueError("one")
    return {"n": 0}
"""
    first = await patch_previews(ledger, DeadLetterSelection(), source, None, 2, LONG_S)
    rest = await patch_previews(ledger, DeadLetterSelection(), source, first.after, 10, LONG_S)
    effects = [one.effect for one in (*first.items, *rest.items)]
    assert effects == ["unchanged", "failed", "changed", "changed", "changed"]
    assert first.items[1].error == "ValueError: one (line 4)"
    assert '-    "n": 2\n+    "n": 0' in rest.items[0].diff
    assert rest.after is None
    assert list(await ledger.failed_events(FailedEventQuery())) == letters
    assert list(await ledger.audit_records()) == []


async def test_the_preview_of_a_slow_patch_can_be_left_in_between() -> None:
    ledger = MemoryLedger()
    await filled(ledger, *(letter(offset) for offset in range(5)))
    source = "def patch(event):\n    pass\n"
    first = await patch_previews(ledger, DeadLetterSelection(), source, None, 5, within_s=0.0)
    assert [one.place for one in first.items] == ["orders/0/0"]
    second = await patch_previews(
        ledger, DeadLetterSelection(), source, first.after, 5, within_s=0.0
    )
    assert [one.place for one in second.items] == ["orders/0/1"]
