"""Many patterns at once: which of them match an event, from its bytes.

The event is decoded once, and only where a pattern looks. Each field has a table from its value to
a set of patterns, kept as the bits of an int, and the sets of all fields are intersected. That is
exact unless an event has arrays of objects in the fields that are asked for: then the sets hold too
many, and what they hold is asked one pattern at a time. So is what the tables cannot take.
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
    """Which of many patterns match an event: always what ``Pattern.matches`` says of each.

    Of the event's JSON only the fields that some pattern asks for are decoded; in the others just
    the syntax is checked. Safe to use from many threads; of the events it has seen it keeps but
    which sets of patterns matched, a few thousand of them.

    >>> index = RuleIndex([Pattern.parse({"type": ["a"]}), Pattern.parse({"type": ["b", "a"]})])
    >>> index.match(b'{"specversion": "1.0", "type": "a"}')
    (0, 1)
    """

    def __init__(self, patterns: Sequence[Pattern], *, checked: bool = False) -> None:
        """``checked``: every event is a valid CloudEvent, so no name at its top has a dot."""
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
        asks: dict[str, list[LeafBit]] = {}
        for number, pattern in enumerate(self._patterns):
            for nth, branch in enumerate(() if number in rest else pattern.branches):
                bit = self._bit(number, nth)
                self._everything |= bit
                for leaf in branch:
                    path = with_first_name(leaf.path, _TO_CLOUDEVENT)
                    asks.setdefault(path, []).append((leaf, bit))
        return {path: FieldTable(found, self._everything) for path, found in asks.items()}

    def _bit(self, number: int, nth: int) -> int:
        """A pattern's first branch has the bit of its number, its others have bits above."""
        if nth == 0:
            return 1 << number
        self._owners.append(1 << number)
        return 1 << len(self._patterns) + len(self._owners) - 1

    def match(self, raw: bytes) -> tuple[int, ...]:
        """The numbers of the patterns that match, ascending.

        ``raw`` is the event's JSON, in the form of a CloudEvent or of EventBridge. Raises
        ``EventError`` where it is not a JSON object in UTF-8.
        """
        try:
            found = self._fast_match(raw)
            return self._match_decoded(_decode_json(raw)) if found is None else found
        except (ValueError, RecursionError) as error:
            raise EventError(f"not the JSON of an event: {error}") from error

    def _make_fast_match(
        self, tree: FieldTree, tables: Mapping[str, FieldTable], checked: bool
    ) -> _FastMatch:
        """The way of most events, with all that it needs at hand; None where it cannot tell."""
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
        """``match`` for each of them; raises ``EventError`` where it would for one of them."""
        try:
            found = list(map(self._fast_match, raws))
        except (ValueError, RecursionError):
            return [self.match(raw) for raw in raws]
        match = self.match
        return [
            match(raw) if numbers is None else numbers
            for raw, numbers in zip(raws, found, strict=True)
        ]

    def _numbers(self, bits: int) -> tuple[int, ...]:
        found = self._number_cache.get(bits)
        if found is None:
            found = self._list(bits)
            if len(self._number_cache) >= _MAX_CACHED_SETS:
                self._number_cache.clear()
            self._number_cache[bits] = found
        return found

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
        found = set(self._numbers(sure))
        asked = {*self._numbers(doubtful), *self._unindexed} - found
        return tuple(sorted(found | {n for n in asked if self._patterns[n].matches(event)}))

    def _candidates(self, event: Mapping[str, object], names: Mapping[str, str]) -> tuple[int, int]:
        """The branches that match, and those that do if their values lie in the same elements.

        Only a branch that finds values within arrays of objects in two fields can be in doubt.
        """
        exact = loose = self._everything
        once = twice = 0
        for path, table in self._tables_by_use:
            if not loose & table.tested:
                continue
            found = field_values(event, with_first_name(path, names))
            bits = table.bits_of([item.value for item in found])
            exact &= bits
            if any(item.elements for item in found):
                bits |= table.absent_bits
                twice |= once & table.tested
                once |= table.tested
            loose &= bits
        return exact & ~twice, loose & twice


def _positions(bits: int) -> list[int]:
    """Where the ones are, ascending: by arithmetic for few of them, by searching for many."""
    found = []
    if bits.bit_count() <= _FEW_BITS:
        while bits:
            lowest = bits & -bits
            found.append(lowest.bit_length() - 1)
            bits ^= lowest
        return found
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        found.append(at)
        at = text.find("1", at + 1)
    return found


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
    """Which names of the two forms of events the patterns use, the tables having CloudEvents'."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        leaves = (leaf for pattern in patterns for branch in pattern.branches for leaf in branch)
        self._used = {leaf.path.partition(".")[0] for leaf in leaves}
        used = [name for family in _FAMILIES for name in family if name in self._used]
        foreign = [name for name in used if name in _TO_CLOUDEVENT]
        self.needed = ["specversion", *foreign] if used else []

    def plain(self, tree: FieldTree) -> Callable[[Any], bool]:
        """Whether a decoded event is a CloudEvent in whose own names the tables speak."""
        at = {name: attrgetter(attribute_name(number)) for number, name in enumerate(tree.names)}
        if not self.needed:
            return lambda _: True
        version, *foreign = (at[name] for name in self.needed)
        if not foreign:
            return lambda part: version(part) is not UNSET
        return lambda part: version(part) is not UNSET and all(f(part) is UNSET for f in foreign)

    def spelled_in(self, event: Mapping[str, object]) -> dict[str, str] | None:
        """What the names of the tables are in this event; None where patterns differ in that."""
        names = translated_names(event)
        found: dict[str, str] = {}
        for family in _FAMILIES:
            spelled = {names.get(name, name) for name in family if name in self._used}
            if len(spelled) > 1:
                return None
            found.update((family[0], name) for name in spelled)
        return found
