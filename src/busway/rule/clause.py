"""One alternative of a field's list, such as ``"eu"``, ``{"prefix": "eu-"}`` or
``{"numeric": [">", 0]}``: a frozen record that accepts or rejects a scalar.

The semantics are those of Amazon EventBridge (user guide, "Comparison operators") and, where that
is silent, of its open-source matcher (aws/event-ruler). ``Absent`` is special: it tests that a
field has no value, so it accepts none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, Protocol, TypeGuard

from busway.rule import ip_address
from busway.rule.glob import Glob

_NUMBER_TYPES: Final = (int, float)
_EXACT_INT: Final = 2**53


class Clause(Protocol):
    """The interface of all clauses."""

    def accepts(self, value: object) -> bool:
        """Return whether a scalar (str, int, float, bool, None) satisfies the clause."""
        ...


def is_exact_double(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that a double holds exactly, so that it can be ordered."""
    if type(value) is float:
        return value - value == 0
    if type(value) is not int:
        return False
    return -_EXACT_INT <= value <= _EXACT_INT or _as_double(value) == value


def _as_double(value: int) -> int | None:
    try:
        return int(Decimal(repr(float(value))))
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True)
class Equal:
    """The same string, number (300 is 3.0e2), true, false or null."""

    value: str | int | float | bool | None

    def accepts(self, value: object) -> bool:
        if type(self.value) in _NUMBER_TYPES:
            return type(value) in _NUMBER_TYPES and value == self.value
        return type(value) is type(self.value) and value == self.value


@dataclass(frozen=True, slots=True)
class Prefix:
    """A string that starts with a text."""

    text: str

    def accepts(self, value: object) -> bool:
        return type(value) is str and value.startswith(self.text)


@dataclass(frozen=True, slots=True)
class Suffix:
    """A string that ends with a text."""

    text: str

    def accepts(self, value: object) -> bool:
        return type(value) is str and value.endswith(self.text)


@dataclass(frozen=True, slots=True)
class IgnoreCase:
    """A string that equals, starts with or ends with a text (``part``), ignoring case.

    Each character matches itself, its lower case and its upper case, as in aws/event-ruler, without
    further case folding (K does not match the Kelvin sign, but ß matches SS).
    """

    text: str
    part: str = "whole"

    def accepts(self, value: object) -> bool:
        if type(value) is not str:
            return False
        # reversed, so that a suffix is matched only once
        text = value[::-1] if self.part == "suffix" else value
        return _ignore_case_regex(self.text, self.part).match(text) is not None


@lru_cache
def _ignore_case_regex(text: str, part: str) -> re.Pattern[str]:
    step = -1 if part == "suffix" else 1
    body = "".join(_any_case_regex(char, step) for char in text[::step])
    return re.compile(body + (r"\Z" if part == "whole" else ""))


def _any_case_regex(char: str, step: int) -> str:
    forms = dict.fromkeys(form[::step] for form in (char, char.lower(), char.upper()))
    return "(?:" + "|".join(re.escape(form) for form in forms) + ")"


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A string that matches a pattern in which each ``*`` stands for any characters."""

    glob: Glob

    def accepts(self, value: object) -> bool:
        return type(value) is str and self.glob.matches(value)


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number between two bounds, each inclusive or exclusive; None means unbounded."""

    low: int | float | None
    low_included: bool
    high: int | float | None
    high_included: bool

    def accepts(self, value: object) -> bool:
        return is_exact_double(value) and self._above(value) and self._below(value)

    def _above(self, value: float) -> bool:
        if self.low is None:
            return True
        return value >= self.low if self.low_included else value > self.low

    def _below(self, value: float) -> bool:
        if self.high is None:
            return True
        return value <= self.high if self.high_included else value < self.high


@dataclass(frozen=True, slots=True)
class IpRange:
    """A string that is an IP address in an inclusive range of one IP version."""

    version: int
    low: int
    high: int

    def accepts(self, value: object) -> bool:
        found = ip_address.parse_ip_address(value) if type(value) is str else None
        return found is not None and found[0] == self.version and self.low <= found[1] <= self.high


@dataclass(frozen=True, slots=True)
class Present:
    """Any scalar, null included."""

    def accepts(self, value: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Absent:
    """No scalar: the field is missing, an object, or an empty array."""

    def accepts(self, value: object) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class AnythingBut:
    """A scalar of any type that none of the ``excluded`` clauses accepts."""

    excluded: tuple[Clause, ...]

    def accepts(self, value: object) -> bool:
        return not any(clause.accepts(value) for clause in self.excluded)
