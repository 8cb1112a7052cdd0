"""Flows files of a shop, for tests of what runs them rather than of what they do."""

from __future__ import annotations

from pathlib import Path

from command import select

PRINTED = """
from busway import App
from busway.sinks import console

app = App("shop")
app.flow("orders", when={"type": ["order.created"]}, to=console())
"""
"""Each order is printed."""
KEPT = """
from busway import App
from busway.sinks import sqlite

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=sqlite("shop.db", "orders", key="id", create=True))
def orders(event):
    return {"id": event.data["id"]}
"""
"""Each order gets a row in ``shop.db``."""


def kept(folder: Path) -> list[int]:
    """Return the orders that have a row, in order."""
    return [one for (one,) in select(folder / "shop.db", "SELECT id FROM orders ORDER BY id")]
