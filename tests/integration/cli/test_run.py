"""``busway run``: starting, stopping, and why it does not start."""

from __future__ import annotations

import json
import re
import signal
import socket
from contextlib import closing
from pathlib import Path

import pytest

from command import busway, running, select, until

FLOWS = """
from busway import App
from busway.sinks import jsonl, sqlite

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=sqlite("shop.db", "orders", key="id", create=True))
def orders(event):
    return {"id": event.data["id"]}

app.flow("archive", to=jsonl("archive.jsonl"))
"""
MISTAKES = """
from busway import App
from busway.sinks import console

app = App("shop")
app.flow("two words", to=console(), retrys=3)
app.flow("orders", when={"type": "order.created"}, to=console())
app.flow("orders", to="shop.db")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLOWS)
    return tmp_path


def rows(path: Path) -> list[int]:
    return [row[0] for row in select(path, "SELECT id FROM orders ORDER BY id")]


def save(folder: Path, text: str) -> None:
    """Change the flows file at once, so that nobody finds it half written."""
    new = folder / "shop.new"
    new.write_text(text)
    new.rename(folder / "shop.py")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_takes_events_until_a_signal_and_ends_with_0(
    folder: Path, ending: signal.Signals
) -> None:
    with running("shop.py", cwd=folder) as server:
        wanted = r"busway is ready on http://127\.0\.0\.1:\d+ \(2 flows, data in \.busway\)\n"
        assert re.fullmatch(wanted, server.ready)
        answer = server.post(*({"id": str(n), "data": {"id": n}} for n in range(50)))
        assert (answer.status_code, answer.json()) == (202, {"accepted": 50, "duplicates": 0})
        assert server.post({"id": "7", "data": {"id": 7}}).json()["duplicates"] == 1
        until(lambda: len(lines(folder / "archive.jsonl")) == 50, "all are archived")
        until(lambda: len(rows(folder / "shop.db")) == 50, "all have a row")
        assert server.stop(ending) == 0
    assert rows(folder / "shop.db") == list(range(50))
    assert all(json.loads(line)["level"] == "info" for line in server.log.splitlines())


def test_a_restart_goes_on_where_it_was(folder: Path) -> None:
    for first in (0, 10):
        with running("shop.py", cwd=folder) as server:
            server.post(*({"id": str(n), "data": {"id": n}} for n in range(first + 10)))
            assert server.stop() == 0
    with running("shop.py", cwd=folder):
        until(lambda: rows(folder / "shop.db") == list(range(20)), "each has a row")
        until(lambda: len(lines(folder / "archive.jsonl")) == 20, "each has a line")


def test_it_takes_up_changes_of_the_file(folder: Path) -> None:
    with running("shop.py", "--reload", cwd=folder) as server:
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: rows(folder / "shop.db") == [1], "the row")
        save(folder, FLOWS + "\napp.flow(3)\n")
        until(
            lambda: server.log.count("flows not reloaded: the flows file has mistakes") == 1,
            "the refusal",
        )
        save(folder, FLOWS.replace('"shop.db"', '":memory:"'))
        until(
            lambda: server.log.count("flows not reloaded: the flows file has mistakes") == 2,
            "of a sink as well",
        )
        server.post({"id": "2", "data": {"id": 2}})
        until(lambda: rows(folder / "shop.db") == [1, 2], "the old flows go on")
        save(folder, FLOWS.replace('data["id"]}', 'data["id"] * 10}'))
        until(lambda: "flows reloaded" in server.log, "the reload")
        server.post({"id": "3", "data": {"id": 3}})
        until(lambda: rows(folder / "shop.db") == [1, 2, 30], "the new flow")
        until(lambda: len(lines(folder / "archive.jsonl")) == 3, "the archive, each once")


def test_it_takes_up_a_change_that_is_made_while_it_starts(folder: Path) -> None:
    flows = FLOWS.replace('data["id"]}', 'data["id"] * 10}')
    (folder / "next.txt").write_text(flows)
    edit = 'from pathlib import Path\nPath("next.txt").replace("shop.py")\n'
    (folder / "shop.py").write_text(FLOWS + edit)
    with running("shop.py", "--reload", cwd=folder) as server:
        until(lambda: "flows reloaded" in server.log, "the reload")
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: rows(folder / "shop.db") == [10], "the new flow")
        assert server.stop() == 0


def test_it_takes_up_a_mounted_folder_that_is_swapped(folder: Path) -> None:
    for name, flows in (
        ("..v1", FLOWS),
        ("..v2", FLOWS.replace('data["id"]}', 'data["id"] * 10}')),
    ):
        (folder / name).mkdir()
        save(folder / name, flows)
    (folder / "..data").symlink_to("..v1")
    (folder / "shop.py").unlink(missing_ok=True)
    (folder / "shop.py").symlink_to("..data/shop.py")
    with running("shop.py", "--reload", cwd=folder) as server:
        (folder / "..new").symlink_to("..v2")
        (folder / "..new").replace(folder / "..data")
        until(lambda: "flows reloaded" in server.log, "the reload")
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: rows(folder / "shop.db") == [10], "the new flow")
        assert server.stop() == 0


def test_settings_come_from_the_env_file_beside_the_flows(folder: Path) -> None:
    flows = FLOWS.replace('"archive.jsonl"', 'env("ARCHIVE")').replace("App\n", "App, env\n")
    (folder / "shop.py").write_text(flows)
    (folder / ".env").write_text("ARCHIVE=kept.jsonl\nBUSWAY_DATA=here\n")
    with running("shop.py", cwd=folder) as server:
        server.post({"id": "1", "data": {"id": 1}})
        until(lambda: len(lines(folder / "kept.jsonl")) == 1, "the line")
    assert (folder / "here" / "log.db").exists()
    assert busway("status", "--json", cwd=folder).json()["flows"][0]["accepted"] == 1


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MISTAKES)
    ended = busway("run", "shop.py", cwd=tmp_path)
    file = tmp_path / "shop.py"
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "busway: 5 mistakes",
        f"  {file}:6: flow 'two words': unknown option 'retrys': did you mean 'retry'?",
        f"  {file}:6: flow 'two words': invalid name: use a letter, then up to 63 letters,"
        " digits and _ . - characters",
        f"  {file}:7: flow 'orders': when: $.type: \"order.created\" must be a list,"
        ' ["order.created"], or an object of fields',
        f"  {file}:8: flow 'orders': invalid to of type str: not a sink; use one of busway.sinks,"
        " like to=jsonl('out.jsonl')",
        f"  {file}:8: flow 'orders': the flow at line 7 has the same name; rename one of them",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nonsense_that_is_not", "shop.py:1: no module named 'nonsense_that_is_not'"),
        ("def f(:\n", "shop.py:1: "),
        ("x = 1", "no App; add app ="),
        ("from busway import App\na, b = App('a'), App('b')", "several Apps (a, b); select one"),
        ("from busway import App\napp = App('a')", "has no flows"),
    ],
)
def test_a_file_that_is_no_flows_file_is_told_so(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "shop.py").write_text(text)
    ended = busway("run", "shop.py", cwd=tmp_path)
    assert ended.code == 1
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    ended = busway("run", "nofile.py", cwd=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    says = "busway: nofile.py: no such file; use the path of a flows file\n"
    assert ended.err == says


def test_an_app_can_be_named(folder: Path) -> None:
    (folder / "shop.py").write_text(FLOWS + '\nother = App("other")\n')
    with running("shop.py:app", cwd=folder) as server:
        assert "(2 flows" in server.ready
    assert "no App named 'nope'" in busway("run", "shop.py:nope", cwd=folder).err


def test_a_data_directory_in_use_is_told_with_the_process(folder: Path) -> None:
    with running("shop.py", cwd=folder) as server:
        ended = busway("run", "shop.py", "--port", "0", cwd=folder)
        assert ended.code == 1
        assert f".busway is in use by process {server.process.pid}; stop it" in ended.err


def test_a_port_in_use_is_told(folder: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        ended = busway("run", "shop.py", "--port", str(port), cwd=folder)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"busway: cannot listen on 127.0.0.1 port {port}: Address already in use;"
        " choose another --host or --port\n"
    )


def test_a_wrong_setting_is_told(folder: Path) -> None:
    ended = busway("run", "shop.py", cwd=folder, BUSWAY_PARTITIONS="many")
    assert ended.code == 1
    assert "invalid BUSWAY_PARTITIONS 'many'" in ended.err


def test_partitions_that_a_log_does_not_have_are_told(folder: Path) -> None:
    quiet: list[dict[str, str]] = [{"BUSWAY_PARTITIONS": "2"}, {}]
    for given in quiet:
        with running("shop.py", cwd=folder, **given) as node:
            assert "BUSWAY_PARTITIONS" not in node.log
    with running("shop.py", cwd=folder, BUSWAY_PARTITIONS="8") as node:
        assert "BUSWAY_PARTITIONS is 8, but this log has 2 partitions, which is final" in node.log
