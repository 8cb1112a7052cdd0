"""How many requests may be on their way to a destination at a time, as it is declared."""

from __future__ import annotations

from busway.declarable import Declarable
from busway.errors import SettingsError


class Adaptive(Declarable, frozen=True):
    """As many at a time as the destination takes well: from ``min_limit`` up to ``max_limit``.

    It rises while answers stay as quick as they were with few requests, and falls when they become
    slower, or the destination refuses (429, 503, no answer in time).
    """

    min_limit: int = 1
    max_limit: int = 64


Concurrency = int | Adaptive


def parse_concurrency(value: object) -> Concurrency:
    """Return what ``8``, ``"8"``, ``"adaptive"`` or an :class:`Adaptive` asks for.

    Raises :class:`SettingsError` for anything else.

    >>> parse_concurrency("adaptive")
    Adaptive(min_limit=1, max_limit=64)
    """
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if value == "adaptive":
        return Adaptive()
    if isinstance(value, Adaptive):
        if (
            _is_positive_integer(value.min_limit)
            and _is_positive_integer(value.max_limit)
            and value.min_limit <= value.max_limit
        ):
            return value
        raise SettingsError(f"{value!r} has no room; give Adaptive(min_limit=1, max_limit=64)")
    if isinstance(value, int) and _is_positive_integer(value):
        return value
    raise SettingsError(f"{value!r} is no concurrency; give a whole number from 1, or 'adaptive'")


def _is_positive_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
