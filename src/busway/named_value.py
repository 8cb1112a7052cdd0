"""Named values: small values that the ledger keeps by name."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class NamedValue(msgspec.Struct, frozen=True):
    """A named value."""

    name: str
    value: bytes


class ValueChange(msgspec.Struct, frozen=True):
    """A new value of a named value; ``None`` removes it.

    With ``expected`` it is applied only if that is the current value (``None``: there is none).
    """

    name: str
    value: bytes | None
    expected: bytes | UnsetType | None = UNSET
