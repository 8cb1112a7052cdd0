"""The errors that Busway raises, as one tree.

::

    BuswayError
    ├── PatternError      an event pattern is invalid
    ├── FlowError         a flows file has mistakes; lists all of them, each with a fix
    │   └── CallError         a declaration was called with wrong parameters
    ├── SettingsError     a setting is missing or invalid
    ├── EventError        an event, or a step's result, is invalid
    ├── ExtensionError    a source, sink, step or engine is not installed or cannot be imported
    ├── NotFound          the named object does not exist
    ├── Conflict          the current state does not allow the operation
    ├── Reject            raised by a step: do not retry this event
    ├── StoreError        a data directory or a store cannot be used
    │   ├── StoreLocked         another process has it open
    │   ├── StoreTooNew         a newer version of Busway wrote it
    │   ├── StoreTooOld         an older version of Busway wrote it, in an unsupported format
    │   ├── StoreCorrupted      its content is damaged
    │   ├── StoreMoved          it was moved elsewhere, or a move into it is unfinished
    │   ├── StoreMisconfigured  waiting does not help: permissions, password, version, settings
    │   └── StoreFull           the disk or the configured limit is full
    ├── SourceError       a source cannot be opened or read
    │   └── SourceGap           it no longer has the records after the stored position
    └── SinkError         a destination cannot be opened or used as declared
"""

from __future__ import annotations

from collections.abc import Iterable

from busway.redact import redacted
from busway.spelling import suggestion


class BuswayError(Exception):
    """The root of the tree: errors about your input, your configuration or your systems.

    The text often quotes a library, so secrets of addresses in it are redacted.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(
            *(redacted(argument) if isinstance(argument, str) else argument for argument in args)
        )


class PatternError(BuswayError):
    """An event pattern is invalid.

    ``path`` is a JSONPath-like path to the invalid part (``$.data.total[0].numeric``), ``reason``
    says what is wrong there and how to correct it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class FlowError(BuswayError):
    """A flows file has mistakes; the text lists all of them, each with a fix."""


class SettingsError(BuswayError):
    """A setting is missing or invalid."""


class EventError(BuswayError):
    """An event, or a step's result, is invalid."""


class ExtensionError(BuswayError, ImportError):
    """A source, sink, step or engine is not installed or cannot be imported."""


class NotFound(BuswayError):
    """The named object does not exist."""

    @classmethod
    def named(cls, kind: str, name: str, known: Iterable[str]) -> NotFound:
        """Return the error for an unknown name, with the nearest of the ``known`` names."""
        return cls(f"there is no {kind} {name!r}; {suggestion(name, known)}")


class Conflict(BuswayError):
    """The current state does not allow the operation, for example after a concurrent change."""


class Reject(BuswayError):
    """Raised by a step for an event that must not be retried: it becomes a dead letter."""


class StoreError(BuswayError):
    """A data directory or one of its stores cannot be used."""


class StoreLocked(StoreError):
    """Another process has the data directory open."""


class StoreTooNew(StoreError):
    """A newer version of Busway wrote the data directory."""


class StoreTooOld(StoreError):
    """An older version of Busway wrote the data directory, in a format no longer supported."""


class StoreCorrupted(StoreError):
    """The content of a store is damaged."""


class StoreMoved(StoreError):
    """The installation was moved elsewhere, or a move into it is unfinished."""


class StoreMisconfigured(StoreError):
    """A store cannot be used as configured: permissions, password, version or settings."""


class StoreFull(StoreError):
    """The disk or the configured limit is full."""


class SourceError(BuswayError):
    """A source cannot be opened or read, permanently or for now."""


class SourceGap(SourceError):
    """A source no longer has the records after the stored position: events are lost.

    ``continue_at`` is the first position from which it has all records, if known.
    """

    def __init__(self, text: str, continue_at: bytes | None = None) -> None:
        super().__init__(text)
        self.continue_at = continue_at


class SinkError(BuswayError):
    """A destination cannot be opened or used as declared."""


class Interruption(BaseException):
    """Raised from outside in code that runs too long; a bare ``except`` must re-raise it."""
