"""The keys as a process knows them: a second old at most, and kept when the ledger is away."""

from __future__ import annotations

from busway.control.access.key import NewKey, create, key_statuses, revoke
from busway.control.context import ControlContext
from busway.credential import secret_digest
from busway.runtime.access.key_ring import (
    POLL_INTERVAL_S,
    USAGE_SAVE_INTERVAL_S,
    KeyRing,
)
from busway.runtime.loop import Loop
from busway.testing import ManualClock, MemoryLedger, MemoryLog


async def test_a_key_works_within_a_second_and_its_use_is_kept_within_a_minute() -> None:
    clock, ledger = ManualClock(), MemoryLedger()
    control = ControlContext(log=MemoryLog(1), ledger=ledger, clock=clock)
    ring = KeyRing(ledger, clock)
    loop = Loop("keys", ring.run_once)
    loop.start()
    intake = await create(control, NewKey(scopes=("intake",), name="shop"), "ann")
    admin = await create(control, NewKey(scopes=("admin",), name="bob"), "ann")
    await clock.advance(POLL_INTERVAL_S)
    assert set(ring.intake) == {secret_digest(intake.secret)}
    assert ring.named(admin.secret, "admin") == "bob"
    assert ring.named(intake.secret, "admin") is None, "it may send events and nothing else"
    assert ring.named("busway_other", "admin") is None
    await clock.advance(USAGE_SAVE_INTERVAL_S + POLL_INTERVAL_S)
    used = {one.name: one.used_at is not None for one in await key_statuses(ledger)}
    assert used == {"bob": True, "shop": False}
    await revoke(control, "bob", "ann")
    await revoke(control, "shop", "ann")
    await clock.advance(POLL_INTERVAL_S)
    assert (set(ring.intake), ring.named(admin.secret, "admin")) == (set(), None)
    loop.stop()
    await loop.join(1.0)
