"""Three senders without CloudEvents: a shop's JSON, GitHub's webhooks, and a contact form.

Run it with ``busway run examples/webhook/webhooks.py``; the README has a curl for each.
"""

from __future__ import annotations

from typing import Any

from busway import App, Event, env
from busway.sinks import jsonl, sqlite
from busway.sources import from_field, from_header, webhook

app = App("webhooks")

app.source(
    webhook("orders", type="order.created", id="$.order_id", key="$.customer.id", split=True)
)
app.source(
    webhook(
        "github",
        type=from_header("X-GitHub-Event"),
        id=from_header("X-GitHub-Delivery"),
        subject=from_field("$.repository.full_name", default=""),
        source="https://github.com",
    )
)
app.source(webhook("contact", type="contact.requested", query=["campaign"]))


@app.flow(
    when={"type": ["order.created"]},
    to=sqlite(env("SHOP_DB", "shop.db"), table="orders", key="order_id", create=True),
)
def orders(event: Event) -> dict[str, Any]:
    """Make one row of an order."""
    order = event.data
    return {
        "order_id": order["order_id"],
        "customer": order["customer"]["id"],
        "total": order["total"],
    }


app.flow("pushes", when={"type": ["push"]}, to=jsonl(env("PUSHES", "pushes.jsonl")))
app.flow(
    "contacts", when={"type": ["contact.requested"]}, to=jsonl(env("CONTACTS", "contacts.jsonl"))
)
