"""Data directories to move: one that was really run, and ones made quickly, of any size."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import httpx

from command import DEADLINE_S, Server, running, select, until
from proof import PROOF
from service import NO_TLS

FLOWS = """
from pathlib import Path
from busway import App, Reject
from busway.sinks import sqlite

app = App("shop")
MENDED = Path("mended")

@app.flow(when={"type": ["order"]}, to=sqlite("shop.db", "orders", create=True), retry=["1h"])
def orders(event):
    if event.data.get("bad") and not MENDED.exists():
        raise Reject("bad")
    if event.data.get("late") and not MENDED.exists():
        raise ValueError("late")
    return {"n": event.data["n"]}

@app.flow(when={"type": ["order"]}, to=sqlite("shop.db", "copies", create=True), retry=["1h"])
def copies(event):
    return {"n": event.data["n"]}

app.flow("held", when={"type": ["order"]}, to=sqlite("held.db", "held", create=True),
         steps=[lambda event: {"n": event.data["n"]}])
"""
ORDERS = 400
EACH_BAD, EACH_LATE = 20, 25
BAD = [n for n in range(ORDERS) if n % EACH_BAD == 0]
LATE = [n for n in range(ORDERS) if n % EACH_LATE == 1]
TROUBLED = {*BAD, *LATE}


def orders(*numbers: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"o{n}",
            "type": "order",
            "subject": f"k{n}",
            "data": {"n": n, "bad": n in BAD, "late": n in LATE},
        }
        for n in numbers
    ]


def rows(folder: Path, table: str, database: str = "shop.db") -> list[int]:
    return [n for (n,) in select(folder / database, f"SELECT n FROM {table} ORDER BY n")]


def ask(server: Server, method: str, path: str, body: object = None) -> Any:
    """Ask a server's API, and return what it answers."""
    url = f"{server.url}/api/v1{path}"
    given: dict[str, Any] = {"headers": PROOF, "timeout": DEADLINE_S, "verify": NO_TLS}
    answer = httpx.request(method, url, json=body, **given)
    assert answer.is_success, answer.text
    return answer.json()


def make_installation(folder: Path, *, killed: bool = False) -> list[int]:
    """Really run flows in ``folder/.busway``; return where its trimmed partitions begin.

    With ``killed`` its process does not end in order.

    It has what landed, dead letters, parked ones, a flow that is paused, an audit trail, a replay
    that is under way, and a log without its oldest events.
    """
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder, BUSWAY_RETENTION_AGE_S="0") as server:
        server.post(*orders(*range(100))).raise_for_status()
        until(lambda: len(rows(folder, "copies")) == 100 and all(_bases(folder)), "it is trimmed")
    with running("shop.py", cwd=folder) as server:
        _work(server, folder)
        if killed:
            server.stop(signal.SIGKILL)
    return _bases(folder)


def replay_file(folder: Path) -> Path:
    """Return the file that the replay writes to."""
    return folder / ".busway" / "replays" / "replayed.jsonl"


def _work(server: Server, folder: Path) -> None:
    ask(server, "POST", "/flows/held/pause", {"reason": "the warehouse moves"})
    server.post(*orders(*range(100, 300))).raise_for_status()
    for n in range(300, ORDERS):
        server.post(*orders(n)).raise_for_status()
    landed = ORDERS - len(TROUBLED)
    until(lambda: len(rows(folder, "orders")) == landed, "orders land")
    until(lambda: len(rows(folder, "copies")) == ORDERS, "copies land")
    until(lambda: not _backlog(server, "orders", "copies"), "both are settled")
    ask(server, "POST", "/dead/discard", {"places": ["o0"], "reason": "a test order"})
    wanted = {"flow": "copies", "into": "replayed.jsonl", "rate": "80/s"}
    ask(server, "POST", "/replays", wanted)
    found = replay_file(folder)
    until(lambda: found.exists() and found.read_bytes().count(b"\n") > 20, "a replay goes")


def _backlog(server: Server, *flows: str) -> int:
    return sum(int(ask(server, "GET", f"/flows/{one}")["status"]["backlog"]) for one in flows)


def _bases(folder: Path) -> list[int]:
    found = select(folder / ".busway" / "log.db", "SELECT base - (partition << 48) FROM partition")
    return [base for (base,) in found]
