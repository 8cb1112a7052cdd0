"""The flow of the pipeline benchmarks: orders into PostgreSQL through a Python step."""

from busway import App, Event, env
from busway.sinks import postgres

app = App("bench")


@app.flow(
    when={"type": ["order.created"]},
    to=postgres(env("BENCH_DSN"), table="orders", key="order_id"),
)
def orders(event: Event) -> dict[str, object]:
    order = event.data
    customer = order["customer"]["id"]
    return {"order_id": order["order_id"], "customer": customer, "total": order["total"]}
