"""The flows of the dead letters' benchmark: live orders, and one whose events have failed."""

from busway import App, Event, env
from busway.sinks import sqlite

app = App("bench")
TO = env("BENCH_SQLITE")


@app.flow(when={"type": ["order.created"]}, to=sqlite(TO, "orders", "order_id", create=True))
def orders(event: Event) -> dict[str, object]:
    order = event.data
    return {"order_id": order["order_id"], "total": order["total"]}


@app.flow(when={"type": ["failed"]}, to=sqlite(TO, "mended", "id", create=True))
def letters(event: Event) -> dict[str, object]:
    return {"id": event.data["id"], "total": event.data["total"]}
