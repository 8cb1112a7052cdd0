"""Many clauses about one string at once: which bits its prefixes, suffixes and the like give it.

Every part answers for all clauses of its kind together, in time that hardly grows with their
number: a sorted list and its chains of prefixes, a dict, ranges of addresses, and a search for the
literal that a wildcard needs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from busway.rule import ip_address
from busway.rule.clause import Clause, IgnoreCase, IpRange, Prefix, Suffix, Wildcard

ClauseBits = tuple[Clause, int]


class TextIndex(Protocol):
    """The clauses of one kind on one field."""

    def bits(self, text: str) -> int:
        """The bits of all clauses that accept ``text``."""
        ...


def text_indexes(entries: Iterable[ClauseBits]) -> list[TextIndex]:
    """The parts that together answer for these clauses, ``Equal`` ones and non-strings excepted."""
    sorted_out = _IndexBuilder()
    for clause, bits in entries:
        sorted_out.add(clause, bits)
    return sorted_out.parts()


class _IndexBuilder:
    """Clauses by the part that takes them."""

    def __init__(self) -> None:
        self.prefixes: dict[str, int] = {}
        self.suffixes: dict[str, int] = {}
        self.networks: list[tuple[IpRange, int]] = []
        self.any_case: list[tuple[IgnoreCase, int]] = []
        self.wildcards: list[tuple[Wildcard, int]] = []
        self.others: list[ClauseBits] = []

    def add(self, clause: Clause, bits: int) -> None:
        match clause:
            case Prefix(text):
                self.prefixes[text] = self.prefixes.get(text, 0) | bits
            case Suffix(text):
                self.suffixes[text[::-1]] = self.suffixes.get(text[::-1], 0) | bits
            case IpRange():
                self.networks.append((clause, bits))
            case IgnoreCase(text) if text.isascii():
                self.any_case.append((clause, bits))
            case Wildcard():
                self.wildcards.append((clause, bits))
            case _:
                self.others.append((clause, bits))

    def parts(self) -> list[TextIndex]:
        found: list[TextIndex] = []
        if self.prefixes:
            found.append(PrefixIndex(self.prefixes))
        if self.suffixes:
            found.append(SuffixIndex(self.suffixes))
        if self.any_case:
            found.append(IgnoreCaseIndex(self.any_case))
        found += (IpRangeIndex(version, self.networks) for version in self._versions())
        found += _wildcard_parts(self.wildcards)
        if self.others:
            found.append(ClauseScan(self.others))
        return found

    def _versions(self) -> list[int]:
        return sorted({network.version for network, _ in self.networks})


class PrefixIndex:
    """Prefixes in a sorted list, each with the bits of the shorter prefixes it begins with.

    The longest prefix of a text is its neighbour in the list, or one the neighbour begins with.
    """

    def __init__(self, prefixes: dict[str, int]) -> None:
        self._keys = sorted(prefixes)
        self._shorter: list[int] = []
        self._bits: list[int] = []
        for number, key in enumerate(self._keys):
            shorter = self._longest(key, number - 1)
            self._shorter.append(shorter)
            self._bits.append(prefixes[key] | (self._bits[shorter] if shorter >= 0 else 0))

    def _longest(self, text: str, number: int) -> int:
        while number >= 0 and not text.startswith(self._keys[number]):
            number = self._shorter[number]
        return number

    def bits(self, text: str) -> int:
        number = bisect_right(self._keys, text) - 1
        while number >= 0:
            if text.startswith(self._keys[number]):
                return self._bits[number]
            number = self._shorter[number]
        return 0


class SuffixIndex:
    """Suffixes, as the beginnings of the text read backwards."""

    def __init__(self, reversed_suffixes: dict[str, int]) -> None:
        self._backwards = PrefixIndex(reversed_suffixes)

    def bits(self, text: str) -> int:
        return self._backwards.bits(text[::-1])


class IgnoreCaseIndex:
    """Clauses in ASCII that ignore case; texts beyond ASCII are asked one clause at a time."""

    def __init__(self, entries: list[tuple[IgnoreCase, int]]) -> None:
        self._one_by_one = ClauseScan(entries)
        self._whole: dict[str, int] = {}
        parts = _IndexBuilder()
        for clause, bits in entries:
            text = clause.text.lower()
            if clause.part == "whole":
                self._whole[text] = self._whole.get(text, 0) | bits
            else:
                parts.add(Prefix(text) if clause.part == "prefix" else Suffix(text), bits)
        self._parts = parts.parts()

    def bits(self, text: str) -> int:
        if not text.isascii():
            return self._one_by_one.bits(text)
        lower = text.lower()
        found = self._whole.get(lower, 0)
        for part in self._parts:
            found |= part.bits(lower)
        return found


class IpRangeIndex:
    """Networks of one IP version, as the ranges between all their ends."""

    def __init__(self, version: int, entries: list[tuple[IpRange, int]]) -> None:
        mine = [entry for entry in entries if entry[0].version == version]
        ends = {end for network, _ in mine for end in (network.low, network.high + 1)}
        self._version = version
        self._ends = sorted(ends)
        self._bits = [0, *(self._at(mine, end) for end in self._ends)]

    @staticmethod
    def _at(entries: list[tuple[IpRange, int]], number: int) -> int:
        found = 0
        for network, bits in entries:
            if network.low <= number <= network.high:
                found |= bits
        return found

    def bits(self, text: str) -> int:
        found = ip_address.parse_ip_address(text)
        if found is None or found[0] != self._version:
            return 0
        return self._bits[bisect_right(self._ends, found[1])]


class ClauseScan:
    """Clauses of which too few exist to be clever about."""

    def __init__(self, entries: Iterable[ClauseBits]) -> None:
        self._entries = [(clause.accepts, bits) for clause, bits in entries]

    def bits(self, text: str) -> int:
        found = 0
        for accepts, bits in self._entries:
            if accepts(text):
                found |= bits
        return found


class LiteralIndex:
    """Wildcards without an anchor: asked when the longest literal of theirs is in the text."""

    def __init__(self, entries: list[tuple[Wildcard, int]]) -> None:
        by_literal: dict[str, list[ClauseBits]] = {}
        for wildcard, bits in sorted(entries, key=_longest_literal):
            literal = _longest_literal((wildcard, bits))
            shorter = next(filter(literal.startswith, by_literal), literal)
            by_literal.setdefault(shorter, []).append((wildcard, bits))
        self._groups = {literal: ClauseScan(group) for literal, group in by_literal.items()}
        self._found_in = re.compile(f"(?=({_alternation_regex(sorted(by_literal))}))").findall

    def bits(self, text: str) -> int:
        found = 0
        for literal in set(self._found_in(text)):
            found |= self._groups[literal].bits(text)
        return found


def _longest_literal(entry: tuple[Wildcard, int]) -> str:
    return max(entry[0].glob.pieces, key=len)


def _alternation_regex(literals: list[str]) -> str:
    """A regular expression for any of the literals, each beginning that they share written once."""
    if "" in literals:
        return ""
    by_first = groupby(literals, key=itemgetter(0))
    rests = {first: [literal[1:] for literal in group] for first, group in by_first}
    options = [re.escape(first) + _alternation_regex(rest) for first, rest in rests.items()]
    return options[0] if len(options) == 1 else "(?:" + "|".join(options) + ")"


class AnchoredWildcardIndex:
    """Wildcards that begin, or end, with a literal: asked when the text does too."""

    def __init__(self, entries: list[tuple[Wildcard, int]], backwards: bool) -> None:
        by_anchor: dict[str, list[ClauseBits]] = {}
        for wildcard, bits in entries:
            anchor = _backwards(wildcard.glob.pieces[-1]) if backwards else wildcard.glob.pieces[0]
            by_anchor.setdefault(anchor, []).append((wildcard, bits))
        self._backwards = backwards
        self._groups = [ClauseScan(group) for group in by_anchor.values()]
        self._anchors = PrefixIndex({key: 1 << number for number, key in enumerate(by_anchor)})

    def bits(self, text: str) -> int:
        groups = self._anchors.bits(text[::-1] if self._backwards else text)
        found = 0
        while groups:
            lowest = groups & -groups
            found |= self._groups[lowest.bit_length() - 1].bits(text)
            groups ^= lowest
        return found


def _backwards(text: str) -> str:
    return text[::-1]


def _wildcard_parts(wildcards: list[tuple[Wildcard, int]]) -> list[TextIndex]:
    begins = [entry for entry in wildcards if entry[0].glob.pieces[0]]
    ends = [entry for entry in wildcards if not entry[0].glob.pieces[0]]
    inside = [entry for entry in ends if not entry[0].glob.pieces[-1]]
    ends = [entry for entry in ends if entry[0].glob.pieces[-1]]
    found: list[TextIndex] = []
    if begins:
        found.append(AnchoredWildcardIndex(begins, backwards=False))
    if ends:
        found.append(AnchoredWildcardIndex(ends, backwards=True))
    if inside:
        found.append(LiteralIndex(inside))
    return found
