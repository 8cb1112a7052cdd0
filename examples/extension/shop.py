"""Orders from a CSV file into another one: what the installed distribution busway-csv adds."""

from busway import App, sinks, sources, steps

app = App("shop")
app.source(sources.csv("orders", type="order.imported"))
app.flow(
    "orders",
    when={"type": ["order.imported"]},
    steps=[steps.without_empty],
    to=sinks.csv("orders.csv"),
)
