"""``busway alerts``, of a running server and of a directory that nobody has open."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from command import Server, busway, running, select, until

FLOWS = """
from busway import App, Reject
from busway.alerts import dead_letters, disk_free
from busway.sinks import jsonl

app = App("shop")
app.alert("disk", disk_free(below=1))

@app.flow(when={"type": ["order.created"]}, to=jsonl("orders.jsonl"))
def orders(event):
    raise Reject("no")
"""
ALERT = 'app.alert("orders fail", dead_letters(flow="orders", above=0))\n'


def test_alerts_are_listed_and_the_exit_code_says_if_any_is_raised(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS + ALERT)
    with running("shop.py", cwd=tmp_path) as server:
        until(lambda: len(busway("alerts", "--json", cwd=tmp_path).json()["items"]) == 2, "a look")
        quiet = busway("alerts", cwd=tmp_path)
        assert quiet.code == 0
        assert [line.split()[0] for line in quiet.out.splitlines()] == ["alert", "disk", "orders"]
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: busway("alerts", cwd=tmp_path).code == 1, "it is raised")
        raised = busway("alerts", "--json", cwd=tmp_path)
        assert raised.code == 1
        assert [(one["name"], one["state"]) for one in raised.json()["items"]] == [
            ("orders fail", "raised"),
            ("disk", "clear"),
        ]
        assert server.stop() == 0
    ended = busway("alerts", cwd=tmp_path)
    assert ended.code == 1, "it stays raised while nothing runs"
    assert "1 dead letter of flow 'orders' (raised above 0)" in ended.out


TAKERS = """
from busway.sinks import http
TOLD = {"type": [{"prefix": "busway.alert."}]}
app.flow("told", when=TOLD, to=jsonl("told.jsonl"))
app.flow("refused", when={"type": ["busway.alert.raised"]}, to=http("http://127.0.0.1:9/"))
"""


def test_a_test_message_goes_where_the_real_ones_go(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS + ALERT)
    with running("shop.py", "--reload", cwd=tmp_path) as server:
        alone = busway("alerts", "test", "orders fail", cwd=tmp_path)
        assert (alone.code, "No flow takes it: declare one with" in alone.out) == (1, True), alone
        wrong = busway("alerts", "test", "orders fails", cwd=tmp_path)
        assert "there is no alert 'orders fails'; did you mean 'orders fail'?" in wrong.err
        (tmp_path / "shop.py").write_text(FLOWS + ALERT + TAKERS)
        until(lambda: "flows reloaded" in server.log, "the reload")
        sent = busway("alerts", "test", "orders fail", "--wait", "2", "--json", cwd=tmp_path)
        assert sent.code == 1, "one of two takers cannot be reached"
        flows = {one["flow"]: one for one in sent.json()["flows"]}
        assert flows["told"]["state"] == "delivered"
        assert flows["refused"]["state"] == "waiting"
        (line,) = (tmp_path / "told.jsonl").read_text().splitlines()
        data = json.loads(line)["data"]
        assert (data["alert"], data["state"], data["test"]) == ("orders fail", "raised", True)
        assert data["text"].startswith("RAISED (TEST) orders fail: a test by ")
        assert "0 dead letters of flow 'orders'" in data["text"]
        assert busway("alerts", cwd=tmp_path).code == 0, "nothing is raised by a test"
        text = busway("alerts", "test", "orders fail", "--wait", "1", cwd=tmp_path).out
        assert text.startswith("RAISED (TEST) orders fail")
    nobody = busway("alerts", "test", "orders fail", cwd=tmp_path)
    assert (nobody.code, "start the server" in nobody.err) == (1, True)


def test_an_alert_whose_hold_runs_is_pending(tmp_path: Path) -> None:
    slow = ALERT.replace("above=0))", 'above=0), hold="1h")')
    (tmp_path / "shop.py").write_text(FLOWS + slow)
    with running("shop.py", cwd=tmp_path) as server:
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: "pending" in busway("alerts", cwd=tmp_path).out, "it is pending")
        shown = busway("alerts", cwd=tmp_path)
        assert shown.code == 0
        assert re.search(r"; so since \d\d:\d\d:\d\d, raised at \d{4}-\d\d-\d\d", shown.out)
        one = busway("alerts", "--json", cwd=tmp_path).json()["items"][0]
        assert (one["name"], one["state"], one["since"]) == ("orders fail", "pending", None)
        assert one["pending_since"] < one["pending_until"]


def test_where_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    ended = busway("alerts", cwd=tmp_path)
    assert ended.code == 2
    assert ended.err


def test_killed_again_and_again_an_alert_is_told_once(tmp_path: Path) -> None:
    told = 'app.flow("told", when={"source": ["/busway/alerts"]}, to=jsonl("told.jsonl"))\n'
    (tmp_path / "shop.py").write_text(FLOWS + ALERT + told)
    for number, moment in enumerate(["ready", "settled", "alert raised", "settled"]):
        with running("shop.py", cwd=tmp_path) as server:
            server.post({"id": str(number), "data": {"id": number}})
            until(lambda: _reached(server, moment), moment)  # noqa: B023 - called at once
            server.stop(signal.SIGKILL)
    with running("shop.py", cwd=tmp_path) as server:
        until(lambda: _is_told(tmp_path), "it is told")
        until(lambda: _backlog(tmp_path, "told") == 0, "it is delivered")
        assert server.stop() == 0
    lines = (tmp_path / "told.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["busway.alert.raised"]


def _reached(server: Server, moment: str) -> bool:
    if moment == "alert raised" and busway("alerts", cwd=server.cwd).code == 1:
        return True
    return moment == "ready" or moment in server.log


def _is_told(folder: Path) -> bool:
    ledger = folder / ".busway" / "ledger.db"
    ((kept,),) = select(ledger, "SELECT value FROM named_value WHERE name = 'alert/orders fail'")
    return bool(json.loads(kept)["is_published"])


def _backlog(folder: Path, name: str) -> int:
    flows = busway("status", "--json", cwd=folder).json()["flows"]
    return sum(one["backlog"] for one in flows if one["name"] == name)
