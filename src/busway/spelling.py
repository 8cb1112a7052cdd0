"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 15
"""The maximum number of names listed if none is near."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is nearest to a name, ignoring case; ``None`` if none is near.

    >>> nearest("Ordrs", ["orders", "customers"])
    'orders'
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, cutoff)
    return by_lower[near[0]] if near else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known name, or list the known names.

    >>> (suggestion("ordrs", ["orders", "customers"]), suggestion("x", ["orders"]),
    ...  suggestion("x", []))
    ("did you mean 'orders'?", 'there is: orders', 'there are none')
    """
    listed = list(known)
    near = nearest(name, listed)
    if near is not None:
        return f"did you mean {near!r}?"
    if not listed:
        return "there are none"
    more = len(listed) - MAX_LISTED
    shown = ", ".join(listed[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
    return f"there {'is' if len(listed) == 1 else 'are'}: {shown}"
