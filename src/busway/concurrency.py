"""The declared concurrency of a destination: the maximum number of requests in flight."""

from __future__ import annotations

from busway.declarable import Declarable
from busway.errors import SettingsError


class Adaptive(Declarable, frozen=True):
    """A concurrency that adapts to the destination, from ``min_limit`` to ``max_limit``.

    It rises while response times stay as short as they were with few requests, and falls when they
    grow or the destination reports overload (429, 503, time-outs).
    """

    min_limit: int = 1
    max_limit: int = 64


Concurrency = int | Adaptive


def parse_concurrency(value: object) -> Concurrency:
    """Parse a concurrency: ``8``, ``"8"``, ``"adaptive"`` or an :class:`Adaptive`.

    Raises :class:`SettingsError` for any other value.

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
        raise SettingsError(f"invalid concurrency {value!r}: use 1 <= min_limit <= max_limit")
    if isinstance(value, int) and _is_positive_integer(value):
        return value
    raise SettingsError(f"invalid concurrency {value!r}: use an integer >= 1 or 'adaptive'")


def _is_positive_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
