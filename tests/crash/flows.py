"""The flows of the crash test; run by ``busway run``, so it imports nothing of the tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from busway import App, Backoff, Event, env
from busway.sinks import bus, http, jsonl, postgres, sqlite

app = App("crash")
home = Path(os.environ["CRASH_HOME"])
database = str(home / "out.db")
ORDER = {"type": ["crash.order"]}
DERIVED = {"type": ["crash.derived"]}
# attempts that are cut off count: with few of them what would work could die of the crashes
QUICK = Backoff(first=0.05, factor=1.5, cap=0.5, attempts=100, dead=("ValueError",))


def row(event: Event) -> dict[str, Any]:
    return {"id": event.id, "n": event.data["n"], "key": event.subject}


app.flow("to_sqlite", when=ORDER, to=sqlite(database, table="plain", create=True), steps=[row])
app.flow(
    "to_postgres",
    when=ORDER,
    to=postgres(env("CRASH_DSN"), table="plain", create=True, timeout="10s"),
    steps=[row],
)
app.flow("to_jsonl", when=ORDER, to=jsonl(str(home / "plain.jsonl")), steps=[row])
app.flow(
    "to_http",
    when=ORDER,
    to=http(env("CRASH_URL"), timeout="2s"),
    steps=[row],
    retry=Backoff(first=0.05, factor=1.2, cap=0.3, attempts=100),
    ordered=True,
)
app.flow(
    "filtered",
    when=ORDER | {"data": {"n": [{"numeric": [">=", 100]}]}},
    to=sqlite(database, table="filtered", create=True),
    steps=[row],
)


@app.flow(
    "flaky_postgres",
    when=ORDER,
    to=postgres(env("CRASH_DSN"), table="flaky", create=True, timeout="10s"),
    retry=QUICK,
)
def flaky_postgres(event: Event) -> dict[str, Any] | None:
    return flaky(event)


@app.flow("chain", when=ORDER, to=bus(type="crash.derived"))
def chain(event: Event) -> list[dict[str, Any]]:
    count = 2 if event.data["n"] % 5 == 0 else 1
    return [{"cause": event.id, "index": index} for index in range(count)]


@app.flow("chained", when=DERIVED, to=sqlite(database, table="chained", create=True))
def chained(event: Event) -> dict[str, Any]:
    return {"id": event.id, "cause": event.data["cause"], "idx": event.data["index"]}


def flaky(event: Event) -> dict[str, Any] | None:
    """Fail for good, fail at first, filter, or pass: the number says which."""
    number = event.data["n"]
    if number % 97 == 0:
        raise ValueError(f"{number} never works")
    if number % 10 == 0 and event.attempt < 3:
        raise ConnectionError(f"{number} does not work yet")
    return None if number % 7 == 1 else row(event)


app.flow(
    "flaky",
    when=ORDER,
    to=sqlite(database, table="flaky", create=True),
    steps=[flaky],
    retry=QUICK,
)
app.flow(
    "flaky_ordered",
    when=ORDER,
    to=jsonl(str(home / "ordered.jsonl")),
    steps=[flaky],
    retry=QUICK,
    ordered=True,
)
