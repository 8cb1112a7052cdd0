"""Select the events of a replay by their bytes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.bus.reader import Matcher
from busway.delivery.replay import ReplaySelection
from busway.errors import EventError
from busway.rule import Pattern, RuleIndex

_MANY_IDS = 32
"""From this number of ids on, each event is decoded instead of searched for each id."""


class _EventId(msgspec.Struct):
    id: str


class ReplayMatcher:
    """Matches one rule, number 0: the flow's pattern, the selection's pattern, and its ids.

    Ids are first searched as bytes, so finding one event among ten million decodes only a few.
    """

    def __init__(self, pattern: Pattern, selection: ReplaySelection) -> None:
        patterns = [pattern]
        if selection.when is not None:
            patterns.append(Pattern.parse(selection.when))
        self._rules: Matcher = RuleIndex(patterns, checked=True)
        self._all = tuple(range(len(patterns)))
        self._ids = frozenset(selection.ids)
        self._needles = [id.encode() for id in selection.ids] if len(self._ids) < _MANY_IDS else []

    def match(self, raw: bytes) -> tuple[int, ...]:
        return self.match_batch([raw])[0]

    def match_batch(self, raws: Sequence[bytes]) -> Sequence[tuple[int, ...]]:
        if not self._ids:
            return [self._result(matched) for matched in self._rules.match_batch(raws)]
        results: list[tuple[int, ...]] = [()] * len(raws)
        for index in self._with_ids(raws):
            results[index] = self._result(self._rules.match(raws[index]))
        return results

    def _result(self, matched: tuple[int, ...]) -> tuple[int, ...]:
        return (0,) if matched == self._all else ()

    def _with_ids(self, raws: Sequence[bytes]) -> list[int]:
        ids = self._ids
        return [i for i, raw in enumerate(raws) if self._may_have_id(raw) and _id(raw) in ids]

    def _may_have_id(self, raw: bytes) -> bool:
        """Return whether an event may have one of the ids; a backslash may escape any of them."""
        if not self._needles:
            return True
        return any(needle in raw for needle in self._needles) or b"\\" in raw


def _id(raw: bytes) -> str:
    try:
        return _decode_id(raw).id
    except (ValueError, RecursionError) as error:
        raise EventError(f"not the JSON of an event: {error}") from error


_decode_id = msgspec.json.Decoder(_EventId).decode
