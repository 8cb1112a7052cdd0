"""An index of many patterns: finds those that match an event, from its bytes.

The event is decoded once, and only the fields that a pattern tests. Each field has a table from its
value to a set of patterns, stored as the bits of an int; the sets of all fields are intersected.
The result is exact unless the event has arrays of objects in tested fields: then the sets contain
too many patterns, which are tested one by one. So are patterns that the tables do not support.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET

from busway.errors import EventError
from busway.rule.branch import Branch
from busway.rule.field import field_values, translated_names, with_first_name
from busway.rule.field_decoder import (
    DottedNames,
    FieldTree,
    attribute_name,
    is_decodable,
)
from busway.rule.field_table import FieldTable, LeafBit, NestedArray
from busway.rule.match_codegen import compile_matcher
from busway.rule.pattern import Pattern

_MAX_BRANCHES: Final = 64
_MAX_CACHED_SETS: Final = 4096
_FEW_BITS: Final = 6
_FastMatch = Callable[[bytes], tuple[int, ...] | None]
_TO_CLOUDEVENT: Final = {"detail-type": "type", "detail": "data"}
_FAMILIES: Final = (("type", "detail-type"), ("data", "detail"))

_decode_json: Final = msgspec.json.Decoder().decode


class RuleIndex:
    """Finds the patterns that match an event, with the same result as ``Pattern.matches``.

    Only the fields that a pattern tests are decoded; of other fields only the syntax is checked.
    Thread-safe. It caches a few thousand sets of matching patterns, but no events.

    >>> index = RuleIndex([Pattern.parse({"type": ["a"]}), Pattern.parse({"type": ["b", "a"]})])
    >>> index.match(b'{"specversion": "1.0", "type": "a"}')
    (0, 1)
    """

    def __init__(self, patterns: Sequence[Pattern], *, checked: bool = False) -> None:
        """``checked``: all events are valid CloudEvents, so their top-level names have no dots."""
        self._patterns = tuple(patterns)
        self._everything = 0
        self._unindexed = [n for n, pattern in enumerate(patterns) if not _is_indexable(pattern)]
        self._owners: list[int] = []
        self._number_cache: dict[int, tuple[int, ...]] = {}
        tables = self._tables(set(self._unindexed))
        self._tables_by_use = sorted(tables.items(), key=_tested_count, reverse=True)
        self._names = _EventFormNames(self._patterns)
        tree = FieldTree([*tables, *self._names.needed])
        self._fast_match = self._make_fast_match(tree, tables, checked)

    def _tables(self, rest: set[int]) -> dict[str, FieldTable]:
        leaf_bits: dict[str, list[LeafBit]] = {}
        for number, pattern in enumerate(self._patterns):
            for nth, branch in enumerate(() if number in rest else pattern.branches):
                bit = self._bit(number, nth)
                self._everything |= bit
                for leaf in branch:
                    path = with_first_name(leaf.path, _TO_CLOUDEVENT)
                    leaf_bits.setdefault(path, []).append((leaf, bit))
        return {path: FieldTable(entries, self._everything) for path, entries in leaf_bits.items()}

    def _bit(self, number: int, nth: int) -> int:
        """Return the bit of a branch: the first has its pattern's number, others are above."""
        if nth == 0:
            return 1 << number
        self._owners.append(1 << number)
        return 1 << len(self._patterns) + len(self._owners) - 1

    def match(self, raw: bytes) -> tuple[int, ...]:
        """Return the numbers of the matching patterns, ascending.

        ``raw`` is the JSON of a CloudEvent or an EventBridge event. Raises ``EventError`` if it is
        not a JSON object in UTF-8.
        """
        try:
            numbers = self._fast_match(raw)
            return self._match_decoded(_decode_json(raw)) if numbers is None else numbers
        except (ValueError, RecursionError) as error:
            raise EventError(f"not the JSON of an event: {error}") from error

    def _make_fast_match(
        self, tree: FieldTree, tables: Mapping[str, FieldTable], checked: bool
    ) -> _FastMatch:
        """Return the fast path for most events, which returns None if it does not apply."""
        if self._unindexed:
            return lambda _: None
        decode: Callable[[bytes], Any] = msgspec.json.Decoder(tree.struct).decode
        dotted = DottedNames(tables, top=not checked).may_occur
        plain, narrow = self._names.plain(tree), compile_matcher(tree, tables)
        everything, listed, numbers = self._everything, self._number_cache.get, self._numbers

        def match(raw: bytes) -> tuple[int, ...] | None:
            part = decode(raw)
            if dotted(raw) or not plain(part):
                return None
            try:
                bits = narrow(part, everything)
            except NestedArray:
                return None
            found = listed(bits)
            return numbers(bits) if found is None else found

        return match

    def match_batch(self, raws: Sequence[bytes]) -> list[tuple[int, ...]]:
        """Return ``match`` of each event; raises ``EventError`` if one of them is invalid."""
        try:
            results = list(map(self._fast_match, raws))
        except (ValueError, RecursionError):
            return [self.match(raw) for raw in raws]
        match = self.match
        return [
            match(raw) if numbers is None else numbers
            for raw, numbers in zip(raws, results, strict=True)
        ]

    def _numbers(self, bits: int) -> tuple[int, ...]:
        numbers = self._number_cache.get(bits)
        if numbers is None:
            numbers = self._list(bits)
            if len(self._number_cache) >= _MAX_CACHED_SETS:
                self._number_cache.clear()
            self._number_cache[bits] = numbers
        return numbers

    def _list(self, bits: int) -> tuple[int, ...]:
        count = len(self._patterns)
        if bits >> count:
            for at in _positions(bits >> count):
                bits |= self._owners[at]
            bits &= (1 << count) - 1
        return tuple(_positions(bits))

    def _match_decoded(self, event: dict[str, Any]) -> tuple[int, ...]:
        names = self._names.spelled_in(event)
        if names is None:
            return tuple(n for n, pattern in enumerate(self._patterns) if pattern.matches(event))
        sure, doubtful = self._candidates(event, names)
        matched = set(self._numbers(sure))
        undecided = {*self._numbers(doubtful), *self._unindexed} - matched
        return tuple(sorted(matched | {n for n in undecided if self._patterns[n].matches(event)}))

    def _candidates(self, event: Mapping[str, object], names: Mapping[str, str]) -> tuple[int, int]:
        """Return the branches that match, and those that match if array consistency allows it.

        Only branches with values inside arrays of objects in two or more fields are uncertain.
        """
        exact = loose = self._everything
        once = twice = 0
        for path, table in self._tables_by_use:
            if not loose & table.tested:
                continue
            values = field_values(event, with_first_name(path, names))
            bits = table.bits_of([item.value for item in values])
            exact &= bits
            if any(item.elements for item in values):
                bits |= table.absent_bits
                twice |= once & table.tested
                once |= table.tested
            loose &= bits
        return exact & ~twice, loose & twice


def _positions(bits: int) -> list[int]:
    """Return the positions of the set bits, ascending: by arithmetic if few, by search if many."""
    positions = []
    if bits.bit_count() <= _FEW_BITS:
        while bits:
            lowest = bits & -bits
            positions.append(lowest.bit_length() - 1)
            bits ^= lowest
        return positions
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        positions.append(at)
        at = text.find("1", at + 1)
    return positions


def _is_indexable(pattern: Pattern) -> bool:
    return len(pattern.branches) <= _MAX_BRANCHES and all(
        map(_is_branch_indexable, pattern.branches)
    )


def _is_branch_indexable(branch: Branch) -> bool:
    paths = {with_first_name(leaf.path, _TO_CLOUDEVENT) for leaf in branch}
    return len(paths) == len(branch) and all(map(is_decodable, paths))


def _tested_count(item: tuple[str, FieldTable]) -> int:
    return item[1].tested.bit_count()


class _EventFormNames:
    """The names of the two event formats that the patterns use; tables use CloudEvents names."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        leaves = (leaf for pattern in patterns for branch in pattern.branches for leaf in branch)
        self._used = {leaf.path.partition(".")[0] for leaf in leaves}
        used = [name for family in _FAMILIES for name in family if name in self._used]
        foreign = [name for name in used if name in _TO_CLOUDEVENT]
        self.needed = ["specversion", *foreign] if used else []

    def plain(self, tree: FieldTree) -> Callable[[Any], bool]:
        """Return a test whether a decoded event is a CloudEvent without names of EventBridge."""
        at = {name: attrgetter(attribute_name(number)) for number, name in enumerate(tree.names)}
        if not self.needed:
            return lambda _: True
        version, *foreign = (at[name] for name in self.needed)
        if not foreign:
            return lambda part: version(part) is not UNSET
        return lambda part: version(part) is not UNSET and all(f(part) is UNSET for f in foreign)

    def spelled_in(self, event: Mapping[str, object]) -> dict[str, str] | None:
        """Return the event's names for those of the tables; None if patterns disagree."""
        names = translated_names(event)
        translated: dict[str, str] = {}
        for family in _FAMILIES:
            spelled = {names.get(name, name) for name in family if name in self._used}
            if len(spelled) > 1:
                return None
            translated.update((family[0], name) for name in spelled)
        return translated
