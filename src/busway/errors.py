"""Every error that Busway raises on purpose, as one tree.

::

    BuswayError
    ├── PatternError      a rule's pattern is not valid: where, why
    ├── FlowError         a flows file has mistakes: all of them, with a fix each
    ├── SettingsError     a setting is missing or has a wrong value
    ├── EventError        an event, or what a step returned for one, is not valid
    ├── NotFound          what was named is not there
    ├── Conflict          it cannot be done as things stand now
    ├── Reject            raised by a step: this event is not to be tried again
    ├── StoreError        a data directory or a store cannot be used
    │   ├── StoreLocked       another process has it open
    │   ├── StoreTooNew       a newer Busway wrote it
    │   ├── StoreTooOld       an older Busway wrote it, in a format that is no longer read
    │   ├── StoreDamaged      it does not hold what it must
    │   ├── StoreMoved        it was moved elsewhere, or a move into it is unfinished
    │   ├── StoreUnfit        waiting does not help: rights, a password, a version, its settings
    │   └── StoreFull         there is no room for more
    ├── SourceError       a source cannot be opened or read as declared, or not now
    │   └── SourceGap         it no longer has what follows our position
    └── SinkError         a destination cannot be opened or used as declared
"""

from __future__ import annotations

from collections.abc import Iterable

from busway.redact import redacted
from busway.spelling import suggestion


class BuswayError(Exception):
    """The root: ``except BuswayError`` catches what Busway says about your input or set-up.

    Its text often holds what a library said, so that no secret of an address is in it.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(redacted(one) if isinstance(one, str) else one for one in args))


class PatternError(BuswayError):
    """An event pattern is not valid.

    ``path`` is a JSONPath-like path to the offending part (``$.data.total[0].numeric``),
    ``reason`` says what is wrong there and what would be right.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class FlowError(BuswayError):
    """A flows file has mistakes; the text lists all of them."""


class SettingsError(BuswayError):
    """A setting is missing or has a wrong value."""


class EventError(BuswayError):
    """An event, or what a step returned in its place, is not valid."""


class NotFound(BuswayError):
    """What was named is not there."""

    @classmethod
    def named(cls, kind: str, name: str, known: Iterable[str]) -> NotFound:
        """Say that there is no ``kind`` of this name, and which known one may have been meant."""
        return cls(f"there is no {kind} {name!r}; {suggestion(name, known)}")


class Conflict(BuswayError):
    """It cannot be done as things stand now: somebody else changed it, or its state forbids it."""


class Reject(BuswayError):
    """A step raises it for an event that must not be tried again: it becomes a dead letter."""


class StoreError(BuswayError):
    """A data directory or one of its stores cannot be used."""


class StoreLocked(StoreError):
    """Another process has the data directory open."""


class StoreTooNew(StoreError):
    """The data directory was written by a newer Busway."""


class StoreTooOld(StoreError):
    """The data directory was written by an older Busway, in a format that is no longer read."""


class StoreCorrupted(StoreError):
    """A store does not hold what it must."""


class StoreMoved(StoreError):
    """What is there was moved elsewhere, or is not all there: the move into it is unfinished."""


class StoreMisconfigured(StoreError):
    """It cannot be used as it is set up: a right is missing, a password, a setting is wrong."""


class StoreFull(StoreError):
    """There is no room for more: the disk or the configured limit is full."""


class SourceError(BuswayError):
    """A source cannot be opened or read as it is declared, or not now."""


class SourceGap(SourceError):
    """A source no longer has what follows the position in the ledger: events are lost.

    ``continue_at`` is the position from which it still has everything, if it knows one.
    """

    def __init__(self, text: str, continue_at: bytes | None = None) -> None:
        super().__init__(text)
        self.continue_at = continue_at


class SinkError(BuswayError):
    """A destination cannot be opened or used as it is declared."""


class Interruption(BaseException):
    """Ends what runs too long, from outside: whoever catches everything lets it pass."""
