"""The keys as a process knows them: a second old at most, and kept when the ledger is away."""

from __future__ import annotations

from busway.control.access.key import NewKey, create, key_statuses, revoke
from busway.control.control import Control
from busway.credential import digest_of
from busway.runtime.access.key_ring import LOOK_EVERY_S, USED_EVERY_S, KeyRing
from busway.runtime.loop import Loop
from busway.testing import HandClock, MemoryLedger, MemoryLog


async def test_a_key_works_within_a_second_and_its_use_is_kept_within_a_minute() -> None:
    clock, ledger = HandClock(), MemoryLedger()
    control = Control(log=MemoryLog(1), ledger=ledger, clock=clock)
    ring = KeyRing(ledger, clock)
    loop = Loop("keys", ring.turn)
    loop.start()
    intake = await create(control, NewKey(scopes=("intake",), name="shop"), "ann")
    admin = await create(control, NewKey(scopes=("admin",), name="bob"), "ann")
    await clock.turn(LOOK_EVERY_S)
    assert set(ring.intake) == {digest_of(intake.secret)}
    assert ring.named(admin.secret, "admin") == "bob"
    assert ring.named(intake.secret, "admin") is None, "it may send events and nothing else"
    assert ring.named("busway_other", "admin") is None
    await clock.turn(USED_EVERY_S + LOOK_EVERY_S)
    used = {one.name: one.used_at is not None for one in await key_statuses(ledger)}
    assert used == {"bob": True, "shop": False}
    await revoke(control, "bob", "ann")
    await revoke(control, "shop", "ann")
    await clock.turn(LOOK_EVERY_S)
    assert (set(ring.intake), ring.named(admin.secret, "admin")) == (set(), None)
    loop.stop()
    await loop.join(1.0)
