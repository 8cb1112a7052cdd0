"""Regular expressions from callers, matched by RE2 in time linear in the text."""

from __future__ import annotations

from collections.abc import Callable

import re2  # type: ignore[import-untyped]

from busway.errors import BuswayError

MAX_CHARACTERS = 1_000
_MAX_INSTRUCTIONS = 5_000
_MAX_MEMORY = 1024 * 1024
_PER_UNIT = 200
"""The instructions times characters in one unit of work, a microsecond or less."""


class Regex:
    """A compiled expression. Each match calls ``spend`` with its work before it begins.

    Raises :class:`BuswayError` for an expression that is invalid, too long, or too large.
    """

    flags = 0

    def __init__(self, pattern: str, spend: Callable[[int], None], prefix: str = "") -> None:
        self.pattern = pattern
        self._spend = spend
        self._compiled = _compiled(pattern, prefix)
        self._size = self._compiled.programsize

    def fullmatch(self, text: str) -> bool:
        """Return whether the whole text matches."""
        return self._matches(self._compiled.fullmatch, text)

    def search(self, text: str) -> bool:
        """Return whether a part of the text matches."""
        return self._matches(self._compiled.search, text)

    def _matches(self, match: Callable[[str], object], text: str) -> bool:
        self._spend(1 + len(text) * self._size // _PER_UNIT)
        try:
            return match(text) is not None
        except UnicodeEncodeError:  # a lone surrogate, which no expression can match
            return False


def _compiled(pattern: str, prefix: str) -> re2._Regexp:
    shown = pattern if len(pattern) <= 60 else f"{pattern[:57]}..."
    if len(pattern) > MAX_CHARACTERS:
        raise BuswayError(
            f"the regular expression {shown!r} has {len(pattern):,} characters;"
            f" at most {MAX_CHARACTERS:,} are allowed"
        )
    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        # not re2.compile, whose cache would keep what callers sent
        compiled = re2._Regexp(prefix + pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise BuswayError(
            f"the regular expression {shown!r} is not valid: {reason};"
            " RE2 has no look-around and no back-references"
        ) from error
    if compiled.programsize > _MAX_INSTRUCTIONS:
        raise BuswayError(f"the regular expression {shown!r} is too large; repeat less")
    return compiled
