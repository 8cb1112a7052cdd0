"""How many requests may be on their way to a destination at a time, as it is declared."""

from __future__ import annotations

from busway.errors import SettingsError
from busway.parameter import Declarable


class Adaptive(Declarable, frozen=True):
    """As many at a time as the destination takes well: from ``least`` up to ``most``.

    It rises while answers stay as quick as they were with few requests, and falls when they become
    slower, or the destination refuses (429, 503, no answer in time).
    """

    least: int = 1
    most: int = 64


Concurrency = int | Adaptive


def concurrency(value: object) -> Concurrency:
    """Return what ``8``, ``"8"``, ``"adaptive"`` or an :class:`Adaptive` asks for.

    Raises :class:`SettingsError` for anything else.

    >>> concurrency("adaptive")
    Adaptive(least=1, most=64)
    """
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if value == "adaptive":
        return Adaptive()
    if isinstance(value, Adaptive):
        if _whole(value.least) and _whole(value.most) and value.least <= value.most:
            return value
        raise SettingsError(f"{value!r} has no room; give Adaptive(least=1, most=64)")
    if isinstance(value, int) and _whole(value):
        return value
    raise SettingsError(f"{value!r} is no concurrency; give a whole number from 1, or 'adaptive'")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
