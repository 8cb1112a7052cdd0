"""How fast 1 to 1,000 rules of mixed kinds are matched with a 1 KB event, from its bytes.

The floor is ``msgspec.json.decode`` of the same bytes, measured in turns with the rules in the
same run; 1 would be rules for nothing. Every event is different, so nothing can be remembered.

    python bench/rules.py
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from busway.rule import Pattern, RuleIndex

TARGETS = {1: 0.7, 10: 0.4, 100: 0.25, 1000: 0.15}
EVENTS = 2_000
ROUNDS = 9

REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1")
ACTIONS = ("created", "paid", "packed", "shipped", "returned", "cancelled")
KINDS = ("order", "invoice", "customer", "parcel", "refund")
STATES = ("new", "open", "on-hold", "done", "failed")


def event(rng: random.Random) -> bytes:
    """One event of a shop, of about 1 KB."""
    number = rng.randrange(10**6)
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"01J{rng.getrandbits(110):022x}",
            "source": f"/shop/{rng.choice(REGIONS)}/{rng.choice(KINDS)}s",
            "type": f"com.example.{rng.choice(KINDS)}.{rng.choice(ACTIONS)}",
            "subject": f"{rng.choice(KINDS)}/{number}",
            "time": f"2026-03-{rng.randrange(1, 28):02d}T12:{rng.randrange(60):02d}:31.123456Z",
            "datacontenttype": "application/json",
            "traceparent": f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-01",
            "data": _order(rng, number),
        }
    )


def _order(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "state": rng.choice(STATES),
        "total": rng.randrange(100_000) / 100,
        "currency": rng.choice(("EUR", "USD", "GBP")),
        "express": rng.random() < 0.3,
        "coupon": rng.choice((None, f"SPRING-{rng.randrange(100)}")),
        "tags": rng.sample(("gift", "b2b", "fragile", "new", "vip", "bulk"), 3),
        "client": {
            "ip": f"10.{rng.randrange(256)}.{rng.randrange(256)}.7",
            "agent": "shop-app/4.2",
        },
        "customer": {
            "id": rng.randrange(10**5),
            "name": "Ada Example",
            "email": f"user{rng.randrange(10**5)}@mail{rng.randrange(40)}.example.com",
            "tier": rng.choice(("gold", "silver", "bronze")),
            "address": {"street": "Main Street 1", "city": "Springfield", "country": "DE"},
        },
        "items": [
            {"sku": f"SKU-{rng.randrange(10**4):05d}", "quantity": n + 1, "price": 9.99, "vat": 19}
            for n in range(3)
        ],
        "note": "Leave it with the neighbours, please; the bell does not work. " * 2,
    }


def rule(number: int, rng: random.Random) -> Pattern:
    """One rule; the kinds of clauses take turns, and four of five rules name types of events."""
    kind = KINDS[number % len(KINDS)]
    pattern: dict[str, Any] = {}
    if number % 5:
        pattern["type"] = [f"com.example.{kind}.{action}" for action in rng.sample(ACTIONS, 2)]
    clauses = CLAUSES[number % len(CLAUSES)](rng)
    return Pattern.parse({**pattern, **clauses})


CLAUSES: Sequence[Callable[[random.Random], dict[str, Any]]] = (
    lambda rng: {"data": {"state": [rng.choice(STATES)]}},
    lambda rng: {"source": [{"prefix": f"/shop/{rng.choice(REGIONS)}/{rng.choice(KINDS)}"}]},
    lambda rng: {"data": {"total": [{"numeric": [">", rng.randrange(90_000) / 100]}]}},
    lambda rng: {
        "data": {"customer": {"tier": [{"anything-but": rng.choice(("gold", "silver"))}]}}
    },
    lambda rng: {
        "data": {"customer": {"email": [{"suffix": f"@mail{rng.randrange(40)}.example.com"}]}}
    },
    lambda rng: {"data": {"client": {"ip": [{"cidr": f"10.{rng.randrange(256)}.0.0/16"}]}}},
    lambda rng: {
        "subject": [{"wildcard": f"{rng.choice(KINDS)}/{rng.randrange(10)}*{rng.randrange(10)}"}]
    },
    lambda rng: {"data": {"customer": {"email": [{"wildcard": f"*{rng.randrange(1000)}@*"}]}}},
    lambda rng: {"data": {"currency": [{"equals-ignore-case": rng.choice(("eur", "usd", "gbp"))}]}},
    lambda rng: {"data": {"coupon": [{"exists": True}], "express": [rng.random() < 0.5]}},
    lambda rng: {"data": {"tags": [rng.choice(("gift", "b2b", "fragile", "vip"))]}},
    lambda rng: {"time": [{"prefix": f"2026-03-{rng.randrange(1, 28):02d}"}]},
    lambda rng: {
        "$or": [
            {"data": {"total": [{"numeric": [">=", rng.randrange(500), "<", 900]}]}},
            {"data": {"customer": {"id": [rng.randrange(10**5)]}}},
        ]
    },
    lambda rng: {
        "data": {"customer": {"address": {"country": [{"anything-but": {"prefix": "D"}}, "DE"]}}}
    },
)


def run() -> list[dict[str, Any]]:
    """A row for each number of rules: what, floor and measured (events a second), ratio, target."""
    rng = random.Random(4711)
    raws = [event(rng) for _ in range(EVENTS)]
    indexes = {n: RuleIndex([rule(at, rng) for at in range(n)]) for n in TARGETS}
    works: dict[int, Callable[[], object]] = {0: lambda: [msgspec.json.decode(raw) for raw in raws]}
    for count, index in indexes.items():
        works[count] = partial(index.match_batch, raws)
    best = _best(works)
    return [_row(count, best, raws, index) for count, index in indexes.items()]


def _best(works: dict[int, Callable[[], object]]) -> dict[int, float]:
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def _row(count: int, best: dict[int, float], raws: list[bytes], index: RuleIndex) -> dict[str, Any]:
    size = sum(map(len, raws)) // len(raws)
    hits = sum(map(len, index.match_batch(raws))) / len(raws)
    return {
        "what": f"{count:,} rules on a {size:,}-byte event ({hits:.1f} match)",
        "floor": len(raws) / best[0],
        "measured": len(raws) / best[count],
        "ratio": best[0] / best[count],
        "target": TARGETS[count],
    }


if __name__ == "__main__":
    for row in run():
        print(
            "{what:45} {floor:>9,.0f}/s {measured:>9,.0f}/s  {ratio:.2f} of {target}".format(**row)
        )
