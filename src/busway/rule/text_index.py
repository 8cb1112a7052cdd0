"""Indexes of many string clauses: the bits of all clauses that accept a string.

Each index evaluates all clauses of one kind together, in time that hardly grows with their number:
by a sorted list with chains of prefixes, a dict, ranges of addresses, or a search for the literals
that wildcards contain.
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
    """An index of the clauses of one kind on one field."""

    def bits(self, text: str) -> int:
        """Return the bits of all clauses that accept ``text``."""
        ...


def text_indexes(entries: Iterable[ClauseBits]) -> list[TextIndex]:
    """Return indexes for clauses, except ``Equal`` ones and those that accept no strings."""
    builder = _IndexBuilder()
    for clause, bits in entries:
        builder.add(clause, bits)
    return builder.parts()


class _IndexBuilder:
    """Groups clauses by the index that supports them."""

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
        parts: list[TextIndex] = []
        if self.prefixes:
            parts.append(PrefixIndex(self.prefixes))
        if self.suffixes:
            parts.append(SuffixIndex(self.suffixes))
        if self.any_case:
            parts.append(IgnoreCaseIndex(self.any_case))
        parts += (IpRangeIndex(version, self.networks) for version in self._versions())
        parts += _wildcard_parts(self.wildcards)
        if self.others:
            parts.append(ClauseScan(self.others))
        return parts

    def _versions(self) -> list[int]:
        return sorted({network.version for network, _ in self.networks})


class PrefixIndex:
    """Prefixes in a sorted list, each with the bits of the shorter prefixes that it starts with.

    The longest prefix of a text is its neighbour in the list, or a prefix of the neighbour.
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
    """Suffixes, as prefixes of the reversed text."""

    def __init__(self, reversed_suffixes: dict[str, int]) -> None:
        self._backwards = PrefixIndex(reversed_suffixes)

    def bits(self, text: str) -> int:
        return self._backwards.bits(text[::-1])


class IgnoreCaseIndex:
    """ASCII clauses that ignore case; non-ASCII texts are tested clause by clause."""

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
        bits = self._whole.get(lower, 0)
        for part in self._parts:
            bits |= part.bits(lower)
        return bits


class IpRangeIndex:
    """Networks of one IP version, as ranges between all their bounds."""

    def __init__(self, version: int, entries: list[tuple[IpRange, int]]) -> None:
        own = [entry for entry in entries if entry[0].version == version]
        ends = {end for network, _ in own for end in (network.low, network.high + 1)}
        self._version = version
        self._ends = sorted(ends)
        self._bits = [0, *(self._at(own, end) for end in self._ends)]

    @staticmethod
    def _at(entries: list[tuple[IpRange, int]], number: int) -> int:
        result = 0
        for network, bits in entries:
            if network.low <= number <= network.high:
                result |= bits
        return result

    def bits(self, text: str) -> int:
        found = ip_address.parse_ip_address(text)
        if found is None or found[0] != self._version:
            return 0
        return self._bits[bisect_right(self._ends, found[1])]


class ClauseScan:
    """Clauses that are tested one by one, because there are few of them."""

    def __init__(self, entries: Iterable[ClauseBits]) -> None:
        self._entries = [(clause.accepts, bits) for clause, bits in entries]

    def bits(self, text: str) -> int:
        result = 0
        for accepts, bits in self._entries:
            if accepts(text):
                result |= bits
        return result


class LiteralIndex:
    """Wildcards without an anchor: tested if their longest literal is in the text."""

    def __init__(self, entries: list[tuple[Wildcard, int]]) -> None:
        by_literal: dict[str, list[ClauseBits]] = {}
        for wildcard, bits in sorted(entries, key=_longest_literal):
            literal = _longest_literal((wildcard, bits))
            shorter = next(filter(literal.startswith, by_literal), literal)
            by_literal.setdefault(shorter, []).append((wildcard, bits))
        self._groups = {literal: ClauseScan(group) for literal, group in by_literal.items()}
        self._found_in = re.compile(f"(?=({_alternation_regex(sorted(by_literal))}))").findall

    def bits(self, text: str) -> int:
        result = 0
        for literal in set(self._found_in(text)):
            result |= self._groups[literal].bits(text)
        return result


def _longest_literal(entry: tuple[Wildcard, int]) -> str:
    return max(entry[0].glob.pieces, key=len)


def _alternation_regex(literals: list[str]) -> str:
    """Return a regular expression for any of the literals, with common prefixes factored out."""
    if "" in literals:
        return ""
    by_first = groupby(literals, key=itemgetter(0))
    rests = {first: [literal[1:] for literal in group] for first, group in by_first}
    options = [re.escape(first) + _alternation_regex(rest) for first, rest in rests.items()]
    return options[0] if len(options) == 1 else "(?:" + "|".join(options) + ")"


class AnchoredWildcardIndex:
    """Wildcards that start, or end, with a literal: tested if the text does too."""

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
        result = 0
        while groups:
            lowest = groups & -groups
            result |= self._groups[lowest.bit_length() - 1].bits(text)
            groups ^= lowest
        return result


def _backwards(text: str) -> str:
    return text[::-1]


def _wildcard_parts(wildcards: list[tuple[Wildcard, int]]) -> list[TextIndex]:
    begins = [entry for entry in wildcards if entry[0].glob.pieces[0]]
    ends = [entry for entry in wildcards if not entry[0].glob.pieces[0]]
    inside = [entry for entry in ends if not entry[0].glob.pieces[-1]]
    ends = [entry for entry in ends if entry[0].glob.pieces[-1]]
    parts: list[TextIndex] = []
    if begins:
        parts.append(AnchoredWildcardIndex(begins, backwards=False))
    if ends:
        parts.append(AnchoredWildcardIndex(ends, backwards=True))
    if inside:
        parts.append(LiteralIndex(inside))
    return parts
