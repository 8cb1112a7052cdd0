"""``busway move`` to a database that cannot be used as it is set up: why, and the remedy."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from busway.engine.postgres.schema import SCHEMA, migrate
from command import Ended, busway
from directory import make_directory
from postgres_server import PostgresServer, postgres_server

FLOWS = """
from busway import App
from busway.sinks import console

app = App("shop")
app.flow("orders", when={"type": ["t"]}, to=console())
"""
AGAIN = "run the same command again"
PASSWORD = "s3cret"
HBA = """
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    await make_directory(tmp_path / "data", 10)
    return tmp_path


@pytest.fixture
async def user(engine: str) -> AsyncIterator[str]:
    """A user who may connect, and nothing else."""
    name = f"u{uuid.uuid4().hex}"
    await run(engine, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    await run(engine, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.fixture(scope="module")
def strict() -> Iterator[PostgresServer]:
    """A server that asks for a password."""
    with tempfile.NamedTemporaryFile("w", prefix="busway-hba-") as hba:
        Path(hba.name).chmod(0o644)
        hba.write(HBA)
        hba.flush()
        with postgres_server(hba_file=hba.name) as found:
            yield found


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def of(user: str, engine: str) -> str:
    return engine.replace("postgres@", f"{user}:{PASSWORD}@")


def place(engine: str) -> str:
    return engine.replace("postgres@", "")


async def moved(folder: Path, *to: str, dry: bool = False) -> Ended:
    more = ["--dry-run"] if dry else []
    return await asyncio.to_thread(busway, "move", "--from", "data", "--to", *to, *more, cwd=folder)


async def refusal(folder: Path, *to: str) -> str:
    """Show that a dry run and a move are refused for the same reason, and return it."""
    ended = [await moved(folder, *to, dry=dry) for dry in (True, False)]
    assert [one.code for one in ended] == [1, 1], ended
    assert ended[0].err == ended[1].err
    assert AGAIN not in ended[1].err
    assert PASSWORD not in ended[1].err
    return ended[1].err


async def grant(engine: str, grants: str) -> None:
    """Give what a refusal asked for, as it is written there."""
    _, _, statements = grants.strip().partition("grant them: ")
    await run(engine, *statements.split("; "))


async def test_a_user_who_may_not_make_a_schema_is_told_what_to_grant(
    folder: Path, engine: str, user: str
) -> None:
    told = await refusal(folder, of(user, engine))
    database = engine.rpartition("/")[2]
    assert f"{place(engine)}: the user lacks privileges" in told
    assert f"GRANT CREATE ON DATABASE {database} TO {user}" in told
    await grant(engine, told)
    ended = await moved(folder, of(user, engine))
    assert ended.code == 0, ended


async def test_a_user_who_may_not_use_the_schema_is_told_what_to_grant(
    folder: Path, engine: str, user: str
) -> None:
    await run(engine, "CREATE SCHEMA busway")
    told = await refusal(folder, of(user, engine))
    assert f"GRANT USAGE, CREATE ON SCHEMA busway TO {user}" in told
    await grant(engine, told)
    ended = await moved(folder, of(user, engine))
    assert ended.code == 0, ended


async def test_a_user_whose_tables_another_one_made_is_told_what_to_grant(
    folder: Path, engine: str, user: str
) -> None:
    await migrate(engine, SCHEMA, 3)
    await run(engine, f"GRANT USAGE ON SCHEMA busway TO {user}")
    told = await refusal(folder, of(user, engine))
    assert f"{place(engine)}: permission denied for table" in told
    assert "GRANT the owner of it TO" in told
    await run(engine, f"GRANT SELECT ON ALL TABLES IN SCHEMA busway TO {user}")
    told = await refusal(folder, of(user, engine))
    assert f"GRANT postgres TO {user}" in told
    await grant(engine, told)
    ended = await moved(folder, of(user, engine))
    assert ended.code == 0, ended


async def test_a_database_that_does_not_exist_is_told(folder: Path, engine: str) -> None:
    told = await refusal(folder, f"{engine}-not")
    assert f'{place(engine)}-not: database "' in told
    assert "CREATE DATABASE" in told


async def test_a_user_who_does_not_exist_is_told(folder: Path, engine: str) -> None:
    told = await refusal(folder, of("nobody_of_us", engine))
    assert f"{place(engine)}: " in told
    assert "check the user and the password" in told


async def test_a_wrong_password_is_told(folder: Path, strict: PostgresServer) -> None:
    await run(strict.dsn, "CREATE ROLE ann LOGIN PASSWORD 'another'")
    for given in (of("ann", strict.dsn), strict.dsn.replace("postgres@", "ann@")):
        told = await refusal(folder, given)
        assert f"{place(strict.dsn)}: password authentication failed" in told
        assert "check the user and the password" in told


async def test_a_dry_run_finds_out_that_it_is_read_only(folder: Path, engine: str) -> None:
    database = engine.rpartition("/")[2]
    await run(engine, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    looked = await moved(folder, engine, dry=True)
    assert (looked.code, looked.out) == (1, ""), looked
    assert f"{place(engine)} is read-only; point Busway at the primary" in looked.err
    ended = await moved(folder, engine)
    assert ended.code == 3, "it may be a primary again"
    assert AGAIN in ended.err


async def test_a_server_that_does_not_sync_is_refused_also_by_a_dry_run(folder: Path) -> None:
    with postgres_server(fsync="off") as server:
        assert "set fsync = on" in await refusal(folder, server.dsn)


async def test_other_commands_tell_what_to_grant_too(folder: Path, engine: str, user: str) -> None:
    (folder / "flows.py").write_text(FLOWS)
    ended = await asyncio.to_thread(
        busway, "serve", "flows.py", "--engine", of(user, engine), cwd=folder
    )
    assert ended.code == 1
    assert f"{place(engine)}: permission denied for database" in ended.err
    assert "GRANT CREATE ON DATABASE" in ended.err
