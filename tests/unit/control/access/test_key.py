"""Keys: made, listed without their secrets, revoked; each in the audit trail."""

from __future__ import annotations

import pytest

from busway.control.access.key import NewKey, create, key_statuses, keys, revoke
from busway.control.context import ControlContext
from busway.credential import secret_digest
from busway.errors import Conflict, NotFound, SettingsError
from busway.testing import ManualClock, MemoryLedger, MemoryLog

INTAKE = NewKey(scopes=("intake",))


@pytest.fixture
def control() -> ControlContext:
    return ControlContext(log=MemoryLog(1), ledger=MemoryLedger(), clock=ManualClock())


async def test_the_ledger_has_the_hash_of_a_key_and_not_the_key(control: ControlContext) -> None:
    made = await create(control, NewKey(scopes=("intake", "intake"), name="shop"), "ann")
    (kept,) = await keys(control.ledger)
    assert (kept.name, kept.scopes, kept.created_by) == ("shop", ("intake",), "ann")
    assert kept.digest == secret_digest(made.secret).hex()
    values = await control.ledger.get_values("")
    told = [
        *values.values(),
        *(bytes(one.after or b"") for one in await control.ledger.audit_records()),
    ]
    assert not any(made.secret.encode() in one for one in told)
    assert not any(
        kept.digest.encode() in bytes(one.after or b"")
        for one in await control.ledger.audit_records()
    )


async def test_creating_and_revoking_a_key_is_audited(control: ControlContext) -> None:
    await create(control, NewKey(scopes=("intake",), name="shop", reason="the shop"), "ann")
    await revoke(control, "shop", "bob", "it was published")
    entries = [
        (one.actor, one.action, one.target, one.reason)
        for one in await control.ledger.audit_records()
    ]
    assert entries == [
        ("bob", "key revoke", "key/shop", "it was published"),
        ("ann", "key create", "key/shop", "the shop"),
    ]
    assert await key_statuses(control.ledger) == []


async def test_a_key_without_a_name_is_named_by_its_scope(control: ControlContext) -> None:
    names = [(await create(control, INTAKE, "ann")).key.name for _ in range(3)]
    assert names == ["intake", "intake-2", "intake-3"]
    secrets = {(await create(control, INTAKE, "ann")).secret for _ in range(3)}
    assert len(secrets) == 3


async def test_key_names_are_unique(control: ControlContext) -> None:
    await create(control, NewKey(scopes=("intake",), name="shop"), "ann")
    with pytest.raises(Conflict, match="a key 'shop' already"):
        await create(control, NewKey(scopes=("admin",), name="shop"), "ann")


@pytest.mark.parametrize(
    "name", ["api-token", "anybody", "two words", "a(b)", "a/b", "x" * 65, "ä"]
)
async def test_a_name_that_could_be_taken_for_another_is_refused(
    control: ControlContext, name: str
) -> None:
    with pytest.raises(SettingsError, match="cannot be called"):
        await create(control, NewKey(scopes=("admin",), name=name), "ann")
    assert await keys(control.ledger) == []


async def test_a_key_needs_a_scope(control: ControlContext) -> None:
    with pytest.raises(SettingsError, match="at least one scope"):
        await create(control, NewKey(scopes=()), "ann")


async def test_an_unknown_key_is_reported_with_a_similar_name(
    control: ControlContext,
) -> None:
    await create(control, NewKey(scopes=("intake",), name="shop"), "ann")
    with pytest.raises(NotFound, match="did you mean 'shop'"):
        await revoke(control, "shpo", "ann")
