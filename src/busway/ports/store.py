"""An engine's stores, opened together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from busway.ports.ledger import Ledger
from busway.ports.log import Log


@runtime_checkable
class NeedsMaintenance(Protocol):
    """A store that wants to be tidied up now and then, while it is used."""

    async def maintain(self) -> None:
        """Do what keeps the store small and fast; called by one task, about once a second."""
        ...


class WakeUps(Protocol):
    """Carries between processes that the log has grown. Only a hint: it may be late, or lost."""

    def notify(self) -> None:
        """Have the others look; called after each append, so it must not wait."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop whenever another may have appended."""
        ...


class SharedDirectory(msgspec.Struct, frozen=True):
    """What a process needs to have a data directory open together with others of its family.

    ``lock_fd`` is the descriptor of the lock that the first of them took, inherited; ``None`` for
    the first one itself.
    """

    wake_ups: WakeUps
    lock_fd: int | None = None


class Stores(msgspec.Struct, frozen=True):
    """An engine's log and ledger, opened together."""

    log: Log
    ledger: Ledger
    release_lock: Callable[[], None] = lambda: None
    """What gives the place back after both are closed (a lock on a directory)."""
    directory: Path | None = None
    """The directory that both are in, of engines that have one."""
    is_shared: bool = False
    """Whether other processes may have both open as well."""
    name: str = ""
    """What a person calls the place, without secrets, of engines that have no directory."""
    warnings: Sequence[str] = ()
    """What a person should be told at the start: how it could lose what it acknowledged."""
    lock_fd: int | None = None
    """The descriptor of the lock on the directory: who inherits it may have it open as well."""

    async def close(self) -> None:
        """Close both, whatever happens to the first."""
        try:
            await self.log.close()
        finally:
            try:
                await self.ledger.close()
            finally:
                self.release_lock()
