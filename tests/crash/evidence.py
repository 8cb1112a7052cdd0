"""What the destinations of the crash test hold in the end, compared with what was sent."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from http_target import Call

Wanted = Callable[[int], bool]
"""Whether the event with this number is to be in a destination."""


class Sent(msgspec.Struct, frozen=True):
    """The numbers of the events that got a 202, and of all that were sent."""

    acknowledged: frozenset[int]
    every: frozenset[int]


def everything(number: int) -> bool:
    return True


def passes_flaky(number: int) -> bool:
    """What the flaky step lets pass in the end."""
    return number % 97 != 0 and (number % 7 != 1)


def holds_once(name: str, found: Iterable[str], sent: Sent, wanted: Wanted = everything) -> None:
    """Check that each acknowledged event is there exactly once, and nothing that was not sent."""
    counts = Counter(found)
    must = {f"e{number}" for number in sent.acknowledged if wanted(number)}
    may = {f"e{number}" for number in sent.every if wanted(number)}
    twice = [one for one, count in counts.items() if count > 1]
    lost, alien = must - counts.keys(), counts.keys() - may
    assert not lost, f"{name}: {len(lost)} of {len(must)} are lost, like {sorted(lost)[:5]}"
    assert not twice, f"{name}: {len(twice)} are there more than once, like {twice[:5]}"
    assert not alien, f"{name}: {len(alien)} do not belong there, like {sorted(alien)[:5]}"


def column(database: Path, table: str, name: str) -> list[Any]:
    """Return a column of a table, in order of insertion."""
    with closing(apsw.Connection(str(database))) as connection:
        rows = connection.execute(f'SELECT "{name}" FROM "{table}" ORDER BY rowid')
        return [value for (value,) in rows]


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file of JSON lines."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def in_order(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Check that the numbers of each key ascend, each taken where it came first."""
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row["n"] not in seen[row["key"]]:
            seen[row["key"]].append(row["n"])
    for key, numbers in seen.items():
        late = [(a, b) for a, b in itertools.pairwise(numbers) if a > b]
        assert not late, f"{name}: key {key!r} is out of order: {late} of {numbers}"


def one_key_each(calls: Sequence[Call]) -> None:
    """Check that an event has one idempotency key however often it came, and no other has it."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        keys[msgspec.json.decode(call.body)["id"]].add(call.key)
    assert all(len(found) == 1 for found in keys.values())
    assert len({key for found in keys.values() for key in found}) == len(keys)
