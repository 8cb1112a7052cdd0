"""What may become of a dead letter's event when it is edited."""

from __future__ import annotations

import pytest

from busway.control.dead_letter.edit import apply_edit, edit_dead_letter
from busway.errors import Conflict, EventError
from busway.failed_event import FailedEventQuery
from busway.testing import MemoryLedger
from dead_letter import AT, event, filled, letter


def test_data_and_other_attributes_may_change() -> None:
    raw = event(1, data={"n": 2}, subject="k", type="other")
    after = apply_edit(letter(1), raw)
    assert (after.event, after.event_key) == (raw, "k")
    assert after.failures == letter(1).failures


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"specversion":"1.0","id":"e1","source":"/shop"}', "type"),
        (event(1, time="yesterday"), "time"),
        (event(1, id="e2"), "id must stay 'e1', not become 'e2'"),
        (event(1, source="/other"), "source must stay"),
        (event(1, specversion="0.3"), "specversion"),
        (b'{"specversion":"1.0","id":"e1","\xff":1}', "not a JSON object"),
    ],
)
def test_invalid_edits_are_rejected(raw: bytes, says: str) -> None:
    with pytest.raises(EventError, match=says):
        apply_edit(letter(1), raw)


def test_the_key_of_an_ordered_flow_stays() -> None:
    assert apply_edit(letter(1, key="k"), event(1, partitionkey="k", data=2)).event_key == "k"
    for raw in (event(1), event(1, partitionkey="l")):
        with pytest.raises(EventError, match="the flow is ordered"):
            apply_edit(letter(1, key="k"), raw)


async def test_a_concurrent_edit_is_a_conflict() -> None:
    ledger = MemoryLedger()
    await filled(ledger, letter(0))
    first = await edit_dead_letter(ledger, letter(0), event(0, data=1), AT, "ann")
    with pytest.raises(Conflict, match="orders/0/0 was changed in the meantime"):
        await edit_dead_letter(ledger, letter(0), event(0, data=2), AT, "bob")
    assert list(await ledger.failed_events(FailedEventQuery())) == [first]
    (entry,) = await ledger.audit_records("dead/orders/0/0")
    images = [bytes(image or b"") for image in (entry.before, entry.after)]
    assert (entry.actor, images) == ("ann", [event(0), event(0, data=1)])


async def test_an_unchanged_event_is_not_an_edit() -> None:
    ledger = MemoryLedger()
    await filled(ledger, letter(0))
    assert await edit_dead_letter(ledger, letter(0), event(0), AT, "ann") == letter(0)
    assert list(await ledger.audit_records()) == []
