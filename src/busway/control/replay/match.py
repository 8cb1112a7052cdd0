"""Which events a replay selects, asked of their bytes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.bus.reader import Matcher
from busway.delivery.replay import ReplaySelection
from busway.errors import EventError
from busway.rule import Pattern, RuleIndex

_MANY_IDS = 32
"""From so many ids on each event is decoded, rather than looked through for each id."""


class _EventId(msgspec.Struct):
    id: str


class ReplayMatcher:
    """Answers for one rule, number 0: the flow's pattern, the selection's, and one of its ids.

    Ids come first, as a search through bytes: looking for one event in ten million decodes a few.
    """

    def __init__(self, pattern: Pattern, selection: ReplaySelection) -> None:
        patterns = [pattern]
        if selection.when is not None:
            patterns.append(Pattern.parse(selection.when))
        self._rules: Matcher = RuleIndex(patterns, checked=True)
        self._all = tuple(range(len(patterns)))
        self._ids = frozenset(selection.ids)
        self._needles = (
            [one.encode() for one in selection.ids] if len(self._ids) < _MANY_IDS else []
        )

    def match(self, raw: bytes) -> tuple[int, ...]:
        return self.match_batch([raw])[0]

    def match_batch(self, raws: Sequence[bytes]) -> Sequence[tuple[int, ...]]:
        if not self._ids:
            return [self._answer(one) for one in self._rules.match_batch(raws)]
        answers: list[tuple[int, ...]] = [()] * len(raws)
        for index in self._with_ids(raws):
            answers[index] = self._answer(self._rules.match(raws[index]))
        return answers

    def _answer(self, found: tuple[int, ...]) -> tuple[int, ...]:
        return (0,) if found == self._all else ()

    def _with_ids(self, raws: Sequence[bytes]) -> list[int]:
        ids = self._ids
        return [i for i, raw in enumerate(raws) if self._may_be(raw) and _id(raw) in ids]

    def _may_be(self, raw: bytes) -> bool:
        """Say whether one of the ids may be in it: anything may be behind a backslash."""
        if not self._needles:
            return True
        return any(needle in raw for needle in self._needles) or b"\\" in raw


def _id(raw: bytes) -> str:
    try:
        return _decode_id(raw).id
    except (ValueError, RecursionError) as error:
        raise EventError(f"not the JSON of an event: {error}") from error


_decode_id = msgspec.json.Decoder(_EventId).decode
