"""A shop's orders: into a database, onto disk, and the big ones to the CRM.

Run it with ``busway run examples/shop/shop.py``; ``.env.example`` lists what can be set.
"""

from __future__ import annotations

from typing import Any

from busway import App, Backoff, Event, env
from busway.sinks import http, jsonl, sqlite

EURO = {"EUR": 1.0, "GBP": 1.17, "USD": 0.92}

app = App("shop")


@app.flow(
    when={"type": ["order.created"]},
    to=sqlite(env("SHOP_DB", "shop.db"), table="orders", key="order_id", create=True),
    retry=Backoff(first=0.2, attempts=3),
)
def orders(event: Event) -> dict[str, Any] | None:
    """Make one row of an order; what test customers order is filtered out."""
    order = event.data
    if order["customer"]["test"]:
        return None
    return {
        "order_id": order["id"],
        "customer_id": order["customer"]["id"],
        "country": order["customer"]["country"],
        "articles": sum(line["quantity"] for line in order["lines"]),
        "total_eur": round(order["total"] * EURO[order["currency"]], 2),
    }


app.flow("archive", to=jsonl(env("SHOP_ARCHIVE", "archive.jsonl")))


@app.flow(
    when={
        "type": ["order.created"],
        "data": {"total": [{"numeric": [">", 1_000]}], "customer": {"test": [False]}},
    },
    to=http(env("CRM_URL", "http://127.0.0.1:9000/orders"), timeout="5s"),
)
def big_orders(event: Event) -> dict[str, Any]:
    """Tell the CRM about an order that somebody should say thank you for."""
    order = event.data
    return {"order": order["id"], "customer": order["customer"]["id"], "total": order["total"]}
