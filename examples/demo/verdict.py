"""Was all of it true? Each question is answered from where the data is, not from the demo."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from crm import Crm
from orders import UNKNOWN_CURRENCY, Plan
from post import Post

COUNTS = ("delivered", "filtered", "parked", "dead", "discarded", "backlog")


class Answer(NamedTuple):
    """A claim, whether it is true, and what was seen; how many things were there twice."""

    claim: str
    true: bool
    seen: str
    twice: int = 0


def intake(plan: Plan, post: Post, repeated: int) -> Answer:
    """Every event accepted once, every repeated one recognised."""
    true = (post.accepted, post.duplicates) == (len(plan.events), repeated)
    seen = f"{post.accepted:,} accepted, {post.duplicates:,} duplicates"
    return Answer("each event was accepted once", true, seen)


def conservation(plan: Plan, flows: list[dict[str, Any]], check: tuple[int, Any]) -> Answer:
    """``accepted`` is the sum of the rest in every flow, and ``busway check`` agrees."""
    total = len(plan.events)
    sums = [sum(flow[name] for name in COUNTS) == flow["accepted"] == total for flow in flows]
    true = all(sums) and len(flows) == 3 and check == (0, {"ok": True, "faults": []})
    seen = f"busway check: {check[1]['faults'] or 'no faults'}"
    return Answer("accepted is the sum of all the rest, in every flow", true, seen)


def counts(plan: Plan, flows: list[dict[str, Any]]) -> Answer:
    """Each flow delivered and filtered exactly what the events call for."""
    total = len(plan.events)
    expected = {
        "orders": (len(plan.rows), plan.filtered, 0, 1, 0, 0),
        "archive": (total, 0, 0, 0, 0, 0),
        "big_orders": (len(plan.big), total - len(plan.big), 0, 0, 0, 0),
    }
    found = {flow["name"]: tuple(flow[name] for name in COUNTS) for flow in flows}
    seen = "as above" if found == expected else f"{found}, not {expected}"
    return Answer("each flow delivered and filtered what it had to", found == expected, seen)


def table(plan: Plan, path: Path) -> Answer:
    """The SQLite table has each order exactly once."""
    with closing(sqlite3.connect(path)) as database:
        rows = Counter(row[0] for row in database.execute("SELECT order_id FROM orders"))
    return _exactly_once("the SQLite table has each order once", rows, plan.rows)


def archive(plan: Plan, path: Path) -> Answer:
    """The JSON-lines file has each event exactly once."""
    with path.open("rb") as file:
        ids = Counter(json.loads(line)["id"] for line in file)
    expected = {json.loads(event)["id"] for event in plan.events}
    return _exactly_once("the JSON-lines file has each event once", ids, expected)


def crm(plan: Plan, found: Crm) -> Answer:
    """The CRM has every big order and no other, each always under the same key."""
    repeats = found.orders.total() - len(found.orders)
    true = found.orders.keys() == plan.big and all(len(keys) == 1 for keys in found.keys.values())
    seen = f"{len(found.orders):,} orders, {repeats} sent again under the same key"
    twice = sum(len(keys) - 1 for keys in found.keys.values())
    return Answer("the CRM has every big order", true, seen, twice)


def dead(plan: Plan, letters: list[dict[str, Any]]) -> Answer:
    """The order that its step cannot work is the one dead letter."""
    found = [
        (one["flow"], one["id"], one["attempts"], f"{one['error']}: {one['reason']}")
        for one in letters
    ]
    true = found == [("orders", plan.bad, 3, f"KeyError: {UNKNOWN_CURRENCY!r}")]
    seen = ", ".join(f"{id} after {attempts} attempts: {error}" for _, id, attempts, error in found)
    return Answer("the one bad order is a dead letter", true, seen)


def ended(code: int | None) -> Answer:
    """The server ended by itself after SIGTERM."""
    return Answer("the server stopped cleanly on SIGTERM", code == 0, f"exit code {code}")


def wrong(answers: list[Answer]) -> Iterator[str]:
    """Return a line for each claim that is not true."""
    for answer in answers:
        if not answer.true:
            yield f"not true: {answer.claim} ({answer.seen})"


def _exactly_once(claim: str, found: Counter[Any], expected: set[Any]) -> Answer:
    twice, missing = found.total() - len(found), len(expected - found.keys())
    extra = len(found.keys() - expected)
    seen = f"{found.total():,} found, {twice} twice, {missing} missing, {extra} too many"
    return Answer(claim, not (twice or missing or extra), seen, twice)
