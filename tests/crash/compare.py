"""Compare every destination of the crash test with what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from busway.event import Event
from crash.console import Console
from crash.evidence import (
    Sent,
    column,
    everything,
    holds_once,
    in_order,
    lines,
    one_key_each,
    passes_flaky,
)
from http_target import HttpTarget

FLAKY = ("flaky", "flaky_ordered", "flaky_postgres")


def compare_files(home: Path, sent: Sent) -> None:
    """Compare what is in SQLite and in files."""
    database = home / "out.db"
    holds_once("to_sqlite", column(database, "plain", "id"), sent)
    holds_once("to_jsonl", [line["id"] for line in lines(home / "plain.jsonl")], sent)
    holds_once("filtered", column(database, "filtered", "id"), sent, lambda n: n >= 100)
    holds_once("flaky", column(database, "flaky", "id"), sent, passes_flaky)
    ordered = lines(home / "ordered.jsonl")
    holds_once("flaky_ordered", [line["id"] for line in ordered], sent, passes_flaky)
    in_order("flaky_ordered", ordered)


def compare_target(target: HttpTarget, sent: Sent) -> None:
    """Check that each event came to the HTTP destination, under one key, first ones in order."""
    taken = [msgspec.json.decode(call.body) for call in target.taken]
    holds_once("to_http", {row["id"] for row in taken}, sent, everything)
    in_order("to_http", taken)
    one_key_each(target.calls)


async def compare_postgres(dsn: str, sent: Sent) -> None:
    """Compare the tables in PostgreSQL with what was sent."""
    connection = await asyncpg.connect(dsn)
    try:
        for table, wanted in (("plain", everything), ("flaky", passes_flaky)):
            rows = await connection.fetch(f"SELECT id FROM {table}")
            holds_once(f"postgres {table}", [row["id"] for row in rows], sent, wanted)
    finally:
        await connection.close()


async def compare_dead(console: Console, sent: Sent) -> None:
    """Check that the dead letters are those events that never work."""
    letters = await console.dead()
    for flow in FLAKY:
        found = [letter["id"] for letter in letters if letter["flow"] == flow]
        holds_once(f"dead letters of {flow}", found, sent, lambda n: n % 97 == 0)
    assert {letter["flow"].partition("@")[0] for letter in letters} <= set(FLAKY)


def compare_replays(files: Sequence[Path], sent: Sent) -> None:
    """Check that what was replayed into files is there once, and nothing else."""
    for file in files:
        found = [line["id"] for line in lines(file)] if file.exists() else []
        twice = [one for one, count in Counter(found).items() if count > 1]
        assert not twice, f"{file} holds some twice, like {twice[:5]}"
        assert set(found) <= {f"e{number}" for number in sent.every}


def compare_chained(home: Path, sent: Sent) -> None:
    """Compare what a flow's results on the bus became with what was sent."""
    database = home / "out.db"
    causes, indexes = column(database, "chained", "cause"), column(database, "chained", "idx")
    pairs = list(zip(causes, indexes, strict=True))
    holds_once("chained", [cause for cause, index in pairs if index == 0], sent)
    second = [cause for cause, index in pairs if index == 1]
    holds_once("chained, second", second, sent, lambda n: n % 5 == 0)


def compare_log(home: Path, events: Sequence[Event], sent: Sent) -> None:
    """Check that the log has each event once: what is there twice would come twice.

    Of what a worker put there that was taken for dead more may be there, under the same id; that
    came as often as it is there.
    """
    holds_once("the log", [one.id for one in events if one.type == "crash.order"], sent)
    derived = Counter(one.id for one in events if one.type == "crash.derived")
    twice = [one for one, count in derived.items() if count > 1]
    print(f"of {len(derived)} derived events {len(twice)} are in the log more than once")
    found = [(one.data["cause"], one.data["index"]) for one in events if one.id in derived]
    holds_once("derived", {cause for cause, index in found if index == 0}, sent)
    second = {cause for cause, index in found if index == 1}
    holds_once("derived, second", second, sent, lambda n: n % 5 == 0)
    assert Counter(column(home / "out.db", "chained", "id")) == derived
