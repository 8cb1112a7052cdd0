"""Checks of the attribute names in a rule: invalid ones, and probably misspelt ones."""

from __future__ import annotations

import re
from collections.abc import Iterator

from busway.attribute import CORE_ATTRIBUTES, HOPS_EXTENSION, TEXT_EXTENSIONS
from busway.rule import Pattern
from busway.spelling import nearest

ATTRIBUTES = frozenset({*CORE_ATTRIBUTES, *TEXT_EXTENSIONS, HOPS_EXTENSION})
EVENTBRIDGE = frozenset(("version", "detail-type", "detail", "account", "region", "resources"))
_EXTENSION = re.compile(r"[a-z0-9]+")
_SIMILARITY = 0.75


def rule_mistakes(pattern: Pattern) -> Iterator[str]:
    """Yield a mistake for each name that no attribute can have: lower-case letters and digits."""
    for name in _unknown(pattern):
        if not _EXTENSION.fullmatch(name):
            near = nearest(name, ATTRIBUTES | EVENTBRIDGE, _SIMILARITY)
            fix = f"did you mean {near!r}?" if near else "fields of the payload are below 'data'"
            yield f"when: unknown attribute {name!r}: {fix}"


def rule_warnings(pattern: Pattern) -> Iterator[str]:
    """Yield a warning for each name that may be an extension, but is probably misspelt."""
    for name in _unknown(pattern):
        near = nearest(name, ATTRIBUTES, _SIMILARITY)
        if near and _EXTENSION.fullmatch(name):
            yield f"when: {name!r} is not a standard attribute; did you mean {near!r}?"


def _unknown(pattern: Pattern) -> Iterator[str]:
    paths = [leaf.path for branch in pattern.branches for leaf in branch]
    names = dict.fromkeys(path.partition(".")[0] for path in paths)
    return (name for name in names if name not in ATTRIBUTES | EVENTBRIDGE)
