"""What the adapters of SQLite share: transactions, opening a file, recognizing a full disk."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import pytest

from busway.driver.sqlite.connection import opening
from busway.driver.sqlite.error import is_disk_full
from busway.driver.sqlite.transaction import immediate_transaction
from busway.outcome import Down
from busway.sink.sqlite.error import as_down
from small_disk import mounted_disk

FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "test.db"
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE t (value BLOB)")
    return path


def count_rows(path: Path) -> int:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        return int(connection.execute("SELECT count(*) FROM t").get)


def test_a_transaction_commits_or_rolls_back(path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        with immediate_transaction(connection):
            connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(apsw.SQLError), immediate_transaction(connection):
            connection.execute("INSERT INTO t VALUES (2); INSERT INTO missing VALUES (3)")
        assert not connection.in_transaction
    assert count_rows(path) == 1


def test_a_transaction_that_sqlite_has_rolled_back_raises_the_first_error(path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.pragma("max_page_count", 4)
        with pytest.raises(apsw.FullError), immediate_transaction(connection):
            connection.execute("INSERT INTO t VALUES (1); INSERT INTO t VALUES (zeroblob(100000))")
        assert not connection.in_transaction
    assert count_rows(path) == 0


def test_a_locked_database_is_left_to_its_owner(path: Path) -> None:
    with (
        contextlib.closing(apsw.Connection(str(path))) as owner,
        contextlib.closing(apsw.Connection(str(path))) as other,
        immediate_transaction(owner),
    ):
        owner.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(apsw.BusyError), immediate_transaction(other):
            pytest.fail("the transaction must not begin")
    assert count_rows(path) == 1


def test_a_connection_that_cannot_be_configured_is_closed(path: Path) -> None:
    with pytest.raises(apsw.SQLError), opening(path, FLAGS) as connection:
        connection.execute("not SQL")
    with pytest.raises(apsw.ConnectionClosedError):
        connection.execute("SELECT 1")


def test_an_io_error_on_a_full_disk_means_that_the_disk_is_full(tmp_path: Path) -> None:
    error = apsw.IOError("disk I/O error")
    with mounted_disk(tmp_path / "disk", "4m") as disk:
        path = disk / "test.db"
        assert not is_disk_full(error, path)
        assert as_down(error, path) == Down(f"{path}: disk I/O error")
        (disk / "ballast").write_bytes(bytes(3_500_000))
        assert is_disk_full(error, path)
        assert "the disk is full" in as_down(error, path).reason
    assert not is_disk_full(error, path)
    assert is_disk_full(apsw.FullError("database or disk is full"), path)
