"""``busway run --engine postgresql://…``: the same flows file on a database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from command import busway, running, until
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer
from shop_flows import KEPT, kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(KEPT)
    return tmp_path


def orders(first: int, end: int) -> list[dict[str, object]]:
    return [{"id": str(n), "data": {"id": n}} for n in range(first, end)]


def streams(nats: NatsCluster) -> list[str]:
    found = nats.nodes[0].ask("jsz?streams=true")["account_details"]
    return [stream["name"] for account in found for stream in account.get("stream_detail", [])]


def test_a_flows_file_runs_on_a_database_and_goes_on_there(folder: Path, engine: str) -> None:
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        assert "1 flow, postgresql://127.0.0.1:" in node.ready
        assert node.post(*orders(0, 50)).json() == {"accepted": 50, "duplicates": 0}
        until(lambda: kept(folder) == list(range(50)), "all have a row")
    assert not (folder / ".busway").exists()
    with running("shop.py", cwd=folder, BUSWAY_ENGINE=engine) as node:
        assert node.post(*orders(49, 60)).json() == {"accepted": 10, "duplicates": 1}
        until(lambda: kept(folder) == list(range(60)), "the others have one too")


def test_a_log_in_jetstream_has_its_ledger_in_a_database(folder: Path, engine: str) -> None:
    with nats_cluster() as nats:
        place = ("--engine", nats.address("shop"), "--ledger", engine)
        with running("shop.py", *place, cwd=folder) as node:
            assert ", ledger in postgresql://127.0.0.1:" in node.ready
            assert node.post(*orders(0, 50)).json() == {"accepted": 50, "duplicates": 0}
            until(lambda: kept(folder) == list(range(50)), "all have a row")
        other = ("--engine", nats.address("other"), "--ledger", engine)
        done = busway("run", "shop.py", *other, cwd=folder)
        assert (done.code, "belongs to the log" in done.err) == (1, True)
        assert streams(nats) == ["shop"]
        done = busway("serve", "shop.py", "--engine", engine, cwd=folder)
        assert (done.code, "is the ledger of a log in NATS" in done.err) == (1, True)


def test_a_database_with_a_log_is_no_ledger_of_another_one(folder: Path, engine: str) -> None:
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        node.post(*orders(0, 5))
    with nats_cluster() as nats:
        place = ("--engine", nats.address("shop"), "--ledger", engine)
        done = busway("run", "shop.py", *place, cwd=folder)
        assert (done.code, "the log in its own database" in done.err) == (1, True)
        assert streams(nats) == []
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        node.post(*orders(5, 6))
        until(lambda: kept(folder) == list(range(6)), "it goes on as it was")


def test_commands_reach_it_by_its_url_and_without_a_server(folder: Path, engine: str) -> None:
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        node.post(*orders(0, 5))
        until(lambda: len(kept(folder)) == 5, "all have a row")
        asked = busway("pause", "orders", "--url", node.url, cwd=folder)
        assert asked.code == 0, asked.err

        def settled() -> bool:
            shown = busway("flows", "--json", cwd=folder, BUSWAY_ENGINE=engine)
            return bool(shown.json()["items"][0]["delivered"] == 5)

        until(settled, "all are settled")
        resumed = busway("resume", "orders", cwd=folder, BUSWAY_ENGINE=engine)
        assert (resumed.code, resumed.out) == (0, "orders is running\n"), resumed.err
        node.post(*orders(5, 6))
        until(lambda: len(kept(folder)) == 6, "it goes on")
    checked = busway("check", cwd=folder, BUSWAY_ENGINE=engine)
    assert checked.code == 0, checked.out + checked.err


def test_a_data_directory_that_is_given_wins_over_the_environment(folder: Path) -> None:
    done = busway("status", "--data", "here", cwd=folder, BUSWAY_ENGINE="postgresql://nowhere/x")
    assert "here is not a data directory" in done.err
    both = ("--data", "here", "--engine", "postgresql://nowhere/x")
    done = busway("run", "shop.py", *both, cwd=folder)
    assert (done.code, "exclude each other" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("postgresql://127.0.0.1:1/shop", "postgresql://127.0.0.1:1/shop cannot be used now"),
        ("mysql://127.0.0.1/shop", "there is no engine 'mysql'; there are: nats, postgres"),
        ("nats://127.0.0.1:1/shop", "needs a ledger in PostgreSQL"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_text(folder: Path, engine: str, said: str) -> None:
    done = busway("run", "shop.py", "--engine", engine, cwd=folder)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= 3


@pytest.mark.parametrize("engine", ["postgresql", "nats"])
def test_a_missing_package_is_reported_with_its_extra(engine: str) -> None:
    script = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from busway.engine.registry import engine_of\nfrom busway.settings import Settings\n"
        f"engine_of(Settings(engine='{engine}://127.0.0.1:1/shop'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    *_, error = done.stderr.splitlines()
    assert f"the engine '{engine}' of busway " in error
    assert "pip install 'busway[postgres]'" in error


def test_while_the_database_is_away_nothing_is_lost(
    folder: Path, engine: str, server: PostgresServer
) -> None:
    with running("shop.py", "--engine", engine, cwd=folder) as node:
        assert node.post(*orders(0, 20)).status_code == 202
        until(lambda: len(kept(folder)) == 20, "all have a row")
        server.stop(immediate=True)
        refused = node.post(*orders(20, 40))
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        server.start()
        until(lambda: node.post(*orders(20, 40)).status_code == 202, "it takes them again")
        until(lambda: kept(folder) == list(range(40)), "all of them have a row")
    assert "Traceback" not in node.log


def test_a_changed_flows_file_is_reloaded_on_a_database(folder: Path, engine: str) -> None:
    with running("shop.py", "--reload", "--engine", engine, cwd=folder) as node:
        assert node.post(*orders(0, 5)).status_code == 202
        until(lambda: kept(folder) == list(range(5)), "all have a row")
        changed = KEPT.replace('event.data["id"]}', 'event.data["id"] + 100}')
        (folder / "shop.py").write_text(changed)
        until(lambda: "flows reloaded" in node.log, "it is reloaded")
        assert node.post(*orders(5, 8)).status_code == 202
        until(lambda: kept(folder) == [0, 1, 2, 3, 4, 105, 106, 107], "the new step did it")
    assert "Traceback" not in node.log


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_data_directory_is_not_for_several(folder: Path, command: str) -> None:
    done = busway(command, "shop.py", cwd=folder)
    assert (done.code, "needs an engine that processes share" in done.err) == (1, True), done.err


async def test_a_command_makes_nothing_in_an_empty_database(folder: Path, engine: str) -> None:
    for command in ("status", "workers", "check"):
        done = await asyncio.to_thread(busway, command, cwd=folder, BUSWAY_ENGINE=engine)
        assert done.code in (1, 2), done.out
        assert "there is no Busway in postgresql://127.0.0.1:" in done.err
    connection = await asyncpg.connect(engine)
    try:
        made = await connection.fetchval(
            "SELECT count(*) FROM pg_namespace WHERE nspname = $1", "busway"
        )
    finally:
        await connection.close()
    assert made == 0
