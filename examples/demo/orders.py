"""The shop's events, the same ones every time, and what has to become of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

Order = dict[str, Any]

COUNTRIES = ("AT", "CH", "DE", "DK", "ES", "FR", "GB", "IT", "NL", "PL", "SE", "US")
ARTICLES = ("apron", "bowl", "cup", "jug", "kettle", "mill", "pan", "plate", "spoon", "tray")
CURRENCIES = ("EUR", "EUR", "EUR", "GBP", "USD")
UNKNOWN_CURRENCY = "XTS"
"""What ISO 4217 reserves for testing: ``shop.py`` has no rate for it, so its step fails."""

_encode = msgspec.json.Encoder().encode


class Plan(msgspec.Struct):
    """All events, as JSON, and the ids of the orders that each flow has to deliver."""

    events: list[bytes]
    rows: set[int]
    """Orders that the table must have."""
    big: set[int]
    """Orders that the CRM must hear of."""
    filtered: int
    """Events that ``orders`` drops: cancellations, and what test customers ordered."""
    bad: str
    """The id of the event whose step fails for good."""


def plan(count: int) -> Plan:
    """Make ``count`` events: orders, some of test customers, one order in twenty cancelled."""
    chance = random.Random(8400)
    made = Plan([], set(), set(), 0, f"order-{count // 3}")
    for number in range(count):
        order = _order(chance, number)
        kind = "order.cancelled" if number % 20 == 19 else "order.created"
        if number == count // 3:
            kind, order["customer"]["test"], order["total"] = "order.created", False, 9.99
            order["currency"] = UNKNOWN_CURRENCY
        made.events.append(_event(number, kind, order))
        _expect(made, kind, order)
    return made


def _expect(made: Plan, kind: str, order: Order) -> None:
    if kind != "order.created" or order["customer"]["test"]:
        made.filtered += 1
        return
    if order["currency"] != UNKNOWN_CURRENCY:
        made.rows.add(order["id"])
    if order["total"] > 1_000:
        made.big.add(order["id"])


def _event(number: int, kind: str, order: Order) -> bytes:
    customer = order["customer"]["id"]
    return _encode(
        {
            "specversion": "1.0",
            "id": f"order-{number}",
            "source": "/shop/checkout",
            "type": kind,
            "subject": f"customer/{customer}",
            "time": f"2026-03-{number % 28 + 1:02}T12:{number // 60 % 60:02}:{number % 60:02}Z",
            "data": order,
        }
    )


def _order(chance: random.Random, number: int) -> Order:
    lines = list(_lines(chance))
    total = sum(line["quantity"] * line["price"] for line in lines)
    return {
        "id": number,
        "customer": {
            "id": chance.randrange(20_000),
            "country": chance.choice(COUNTRIES),
            "test": chance.random() < 0.02,
        },
        "currency": chance.choice(CURRENCIES),
        "lines": lines,
        "total": round(total, 2),
    }


def _lines(chance: random.Random) -> Iterator[Order]:
    for _ in range(chance.randint(1, 3)):
        yield {
            "article": chance.choice(ARTICLES),
            "quantity": chance.randint(1, 5),
            "price": round(chance.lognormvariate(3.2, 0.9), 2),
        }
