"""The keys of the ledger as one process knows them: looked up at once, at most a second old."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from busway.clock import Clock
from busway.control.access.key import USED, Key, Scope, keys
from busway.credential import secret_digest
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.loop import Loop

POLL_INTERVAL_S = 1.0
USAGE_SAVE_INTERVAL_S = 60.0


class KeyRing:
    """Looks at the ledger once a second, and keeps there once a minute which keys were used.

    While the ledger is away, the keys stay those that were known last.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._by_digest: Mapping[bytes, Key] = {}
        self._saved_s = clock.monotonic()
        self.intake: Collection[bytes] = frozenset()
        """The digests of the keys that may send events."""
        self.used: set[bytes] = set()
        """Where who checks a digest itself notes it."""

    async def load(self) -> None:
        """Take the keys from the ledger."""
        self._by_digest = {bytes.fromhex(one.digest): one for one in await keys(self._ledger)}
        self.intake = frozenset(self._digests("intake"))

    async def run_once(self, loop: Loop) -> None:
        """Look again after a while, and keep which keys were used."""
        with loop.interruptible():
            await self._clock.sleep(POLL_INTERVAL_S)
        await self.load()
        if self._clock.monotonic() - self._saved_s >= USAGE_SAVE_INTERVAL_S:
            await self._save_usage()

    def named(self, secret: str, scope: Scope) -> str | None:
        """Return the name of the key that a secret is, where it may do this; else ``None``."""
        digest = secret_digest(secret)
        found = self._by_digest.get(digest)
        if found is None or scope not in found.scopes:
            return None
        self.used.add(digest)
        return found.name

    def _digests(self, scope: Scope) -> Collection[bytes]:
        return [digest for digest, key in self._by_digest.items() if scope in key.scopes]

    async def _save_usage(self) -> None:
        self._saved_s = self._clock.monotonic()
        used, self.used = self.used, set()
        names = [self._by_digest[one].name for one in used if one in self._by_digest]
        if names:
            now = msgspec.json.encode(self._clock.now())
            await self._ledger.change_values([ValueChange(USED + name, now) for name in names])
