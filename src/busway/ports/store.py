"""An engine's log and ledger, opened together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from busway.ports.ledger import Ledger
from busway.ports.log import Log


@runtime_checkable
class NeedsMaintenance(Protocol):
    """A store that needs periodic maintenance while in use."""

    async def maintain(self) -> None:
        """Keep the store small and fast; one task calls it about once a second."""
        ...


class WakeUps(Protocol):
    """Notifies other processes that the log has grown. Notifications may be late or lost."""

    def notify(self) -> None:
        """Notify the other processes; called after each append, so it must not block."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop whenever another process may have appended."""
        ...


class SharedDirectory(msgspec.Struct, frozen=True):
    """What a process needs to share an open data directory with its parent and siblings.

    ``lock_fd`` is the inherited descriptor of the directory lock; ``None`` in the process that
    acquires the lock.
    """

    wake_ups: WakeUps
    lock_fd: int | None = None


class Stores(msgspec.Struct, frozen=True):
    """An engine's log and ledger, opened together."""

    log: Log
    ledger: Ledger
    release_lock: Callable[[], None] = lambda: None
    """Releases the lock on the directory, after both are closed."""
    directory: Path | None = None
    """The directory that holds both, if the engine has one."""
    is_shared: bool = False
    """Whether other processes may have both open at the same time."""
    name: str = ""
    """The display name of the place, without secrets, if the engine has no directory."""
    warnings: Sequence[str] = ()
    """Warnings to log at the start: how acknowledged events could be lost."""
    lock_fd: int | None = None
    """The descriptor of the directory lock; a process that inherits it may open the directory."""

    async def close(self) -> None:
        """Close both, even if closing the first fails."""
        try:
            await self.log.close()
        finally:
            try:
                await self.ledger.close()
            finally:
                self.release_lock()


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine opens, and with which limits.

    ``address`` is the address that names the engine by its scheme, or the path of a data directory;
    ``ledger`` is the address of the ledger, if it is not where the log is. A new log gets
    ``partitions``. A log takes no more above ``max_log_bytes`` (0: no limit), or when less than
    ``min_free_bytes`` are free on its disk; its events have up to ``max_event_bytes``.
    ``shared_directory`` is for a data directory that several processes open.
    """

    address: str
    ledger: str = ""
    partitions: int = 4
    max_event_bytes: int = 1024 * 1024
    max_log_bytes: int = 0
    min_free_bytes: int = 0
    shared_directory: SharedDirectory | None = None


@runtime_checkable
class Engine(Protocol):
    """Opens a log and a ledger.

    An entry point of the group ``busway.engines`` leads to a class, or to a function, that is
    called without arguments and returns one. The name of the entry point is the scheme of the
    engine's addresses.
    """

    async def open_stores(self, options: StoreOptions) -> Stores:
        """Open both, made where there are none.

        Raises :class:`busway.errors.SettingsError` for options that can never work, and
        :class:`busway.errors.StoreError` when the stores cannot be used now.
        """
        ...


@runtime_checkable
class OpensExisting(Protocol):
    """An engine that can open stores without making any."""

    async def open_existing(self, options: StoreOptions) -> Stores:
        """Open both as :meth:`Engine.open_stores` does.

        Raises :class:`busway.errors.SettingsError` where there are none, and makes nothing.
        """
        ...
