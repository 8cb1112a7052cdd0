"""Whom a command asks: a server by its URL, the one that has the directory open, or nobody."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from busway.credential import new_secret
from command import BUSWAY, DEADLINE_S, Server, busway, copy_directory, environment, running, until

FLOWS = """
from busway import App
from busway.sinks import jsonl

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=jsonl("orders.jsonl"))
def orders(event):
    return event.data
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder) as found:
        found.post(*({"id": str(n), "data": {"id": n}} for n in range(10)))
        until(lambda: delivered(folder) == 10, "all are delivered")
        yield found


def delivered(folder: Path, *arguments: str, **more: str) -> int:
    ended = busway("status", "--json", *arguments, cwd=folder, **more)
    return int(ended.json()["flows"][0]["delivered"])


def test_a_server_is_found_by_its_directory(server: Server, tmp_path: Path) -> None:
    assert delivered(tmp_path, "--data", str(server.cwd / ".busway")) == 10
    assert delivered(tmp_path, BUSWAY_DATA=str(server.cwd / ".busway")) == 10


def test_a_server_is_found_by_its_url(server: Server, tmp_path: Path) -> None:
    assert delivered(tmp_path, "--url", server.url) == 10
    assert delivered(tmp_path, "--url", f"{server.url}/") == 10
    assert delivered(tmp_path, BUSWAY_URL=server.url) == 10


def test_where_it_is_can_be_read_by_its_user_alone(server: Server) -> None:
    path = server.cwd / ".busway" / "server.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = json.loads(path.read_text())
    assert (told["url"], told["pid"]) == (server.url, server.process.pid)
    assert told.keys() == {"url", "pid", "started_at"}


def test_a_copy_of_its_directory_is_another_one(server: Server, tmp_path: Path) -> None:
    """A copy names the server too, but no server has it open."""
    copy_directory(server.cwd / ".busway", tmp_path / ".busway")
    answer = busway("status", "--json", cwd=tmp_path).json()
    assert (answer["started_at"], answer["flows"][0]["delivered"]) == (None, 10)
    assert busway("status", "--json", cwd=server.cwd).json()["started_at"] is not None


def test_no_server_at_the_url_is_3(tmp_path: Path) -> None:
    for command in (["status"], ["flows"], ["tail"]):
        ended = busway(*command, "--url", "http://127.0.0.1:9", cwd=tmp_path)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.startswith("busway: no server answers at http://127.0.0.1:9: ")
    assert busway("check", "--url", "http://127.0.0.1:9", cwd=tmp_path).code == 2


def test_what_is_no_url_is_1(tmp_path: Path) -> None:
    for url in ("shop", "ftp://shop", "http://"):
        ended = busway("status", "--url", url, cwd=tmp_path)
        assert (ended.code, ended.out) == (1, ""), url
        assert ended.err.startswith("busway: ")
        assert "Traceback" not in ended.err


def test_a_problem_is_one_line_and_1(server: Server) -> None:
    ended = busway("flows", "show", "order", cwd=server.cwd)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "busway: there is no flow 'order'; did you mean 'orders'?\n"


def test_a_directory_that_nobody_has_open_answers_too(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path) as server:
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: delivered(tmp_path) == 1, "it is delivered")
        server.stop()
    assert not (tmp_path / ".busway" / "server.json").exists()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: delivered(tmp_path), range(4)))
    assert found == [1, 1, 1, 1], "commands wait for one another"
    shown = busway("flows", "show", "orders", "--json", cwd=tmp_path).json()
    assert shown["rule"] == {"type": ["order.created"]}
    tailed = busway("tail", "--from", "beginning", "--json", cwd=tmp_path)
    assert [json.loads(line)["event"]["id"] for line in tailed.out.splitlines()] == ["1"]
    assert busway("check", cwd=tmp_path).code == 0


def test_a_process_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path) as server:
        server.process.kill()
        server.process.wait(DEADLINE_S)
    assert (tmp_path / ".busway" / "server.json").exists()
    assert busway("status", "--json", cwd=tmp_path).json()["started_at"] is None


def test_with_a_token_the_command_brings_its_own(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    token = new_secret()
    with running("shop.py", cwd=tmp_path, BUSWAY_API_TOKEN=token) as server:
        ended = busway("status", cwd=tmp_path)
        assert ended.code == 1
        assert "BUSWAY_API_TOKEN" in ended.err
        assert busway("status", "--url", server.url, cwd=tmp_path, BUSWAY_API_TOKEN=token).code == 0
        (tmp_path / ".env").write_text(f"BUSWAY_API_TOKEN={token}\n")
        assert busway("status", cwd=tmp_path, BUSWAY_API_TOKEN="").code == 0
        assert token not in (tmp_path / ".busway" / "server.json").read_text()
        assert not (tmp_path / ".busway" / "api-token").exists()


def test_flows_are_listed_and_shown(server: Server) -> None:
    lines = [line.split() for line in busway("flows", cwd=server.cwd).out.splitlines()]
    assert lines[0][0] == "flow"
    assert lines[1][0] == "orders"
    listed = busway("flows", "--json", cwd=server.cwd).json()
    assert [one["name"] for one in listed["items"]] == ["orders"]
    shown = busway("flows", "show", "orders", cwd=server.cwd).out
    assert '{"type":["order.created"]}' in shown
    assert "shop.py:7" in shown


def test_a_tail_shows_what_comes(server: Server) -> None:
    process = subprocess.Popen(
        [BUSWAY, "tail", "--flow", "orders", "-n", "2", "--json", "--from", "beginning"],
        cwd=server.cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert [json.loads(line)["event"]["data"]["id"] for line in out.splitlines()] == [0, 1]
    text = busway("tail", "--from", "beginning", "--count", "1", cwd=server.cwd).out
    assert text.rstrip().endswith('order.created 0 from /shop {"id":0}')


def test_watching_shows_it_again(server: Server) -> None:
    process = subprocess.Popen(
        [BUSWAY, "status", "--watch", "0.1"],
        cwd=server.cwd,
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += line.startswith("orders") and "jsonl" in line
        if seen == 3:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def test_who_is_called_as_people_are_may_use_it(server: Server) -> None:
    assert busway("pause", "orders", cwd=server.cwd, LOGNAME="jörg").code == 0
    assert busway("resume", "orders", cwd=server.cwd, LOGNAME="jörg").code == 0
    trail = busway("audit", "--json", "--limit", "1", cwd=server.cwd).json()["items"]
    assert trail[0]["actor"] == "api-token"
    assert trail[0]["remark"].startswith("jörg@")


def test_text_in_an_event_does_not_end_a_line_of_the_tail(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    body = '{"specversion":"1.0","id":"1","source":"/shop","type":"a","data":{"t":"a\u2028b\x85"}}'
    headers = {"content-type": "application/cloudevents+json"}
    with running("shop.py", cwd=tmp_path) as server:
        url = f"{server.url}/events"
        httpx.post(url, content=body.encode(), headers=headers, timeout=DEADLINE_S)
        look = ("tail", "--from", "beginning", "-n", "1", "--json")
        seen = busway(*look, cwd=tmp_path).json()
    offline = busway(*look, cwd=tmp_path).json()
    assert seen["event"]["data"] == offline["event"]["data"] == {"t": "a\u2028b\x85"}


def test_no_id_is_a_mistake_that_is_told(server: Server) -> None:
    ended = busway("event", "", cwd=server.cwd)
    assert (ended.code, ended.err[:21]) == (1, "busway: give an event"), ended


def test_an_argument_that_is_no_text_is_a_mistake_that_is_told(server: Server) -> None:
    for command in (("dead", "list", "--flow"), ("pause", "orders", "--reason"), ("jobs", "show")):
        ended = busway(*command, "a\udcffb", cwd=server.cwd)
        assert ended.code == 1, ended
        assert "is not UTF-8" in ended.err, ended
        assert "Traceback" not in ended.err, ended
