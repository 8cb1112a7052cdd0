"""A data directory of a former format is taken to the present one, with all that it holds."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from busway.engine.sqlite import open_stores
from busway.engine.sqlite.directory import FORMAT_VERSION
from busway.engine.sqlite.move import SqliteMoveOrigin
from busway.errors import StoreCorrupted, StoreError
from busway.lane import Counts, FailedEvent, FailedEventQuery, Resolution, Settlement
from busway.outcome import Failure
from busway.ports.move import RECORD_KINDS, Bookmark, RecordKind, next_bookmark
from busway.settings import Settings
from small_files import small_files

FORMER_TROUBLE = """
CREATE TABLE failed_event (
    flow TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('parked', 'dead')),
    since INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER,
    key TEXT,
    failures BLOB NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (flow, partition, "offset"),
    FOREIGN KEY (flow, partition) REFERENCES lane,
    CHECK (state = 'dead' OR due IS NOT NULL OR key IS NOT NULL)
) STRICT
"""
FORMER_ROWS = """
INSERT INTO lane (flow, partition, start, cursor, delivered, dead) VALUES ('f', 0, 0, 2, 1, 1);
INSERT INTO failed_event VALUES ('f', 0, 1, 'e1', 'dead', 1000000, 1, NULL, NULL,
    CAST('[{"attempt":1,"at":"1970-01-01T00:00:01Z","stage":"step","error":"E","reason":"r"}]'
    AS BLOB), CAST('{}' AS BLOB));
INSERT INTO settled_range VALUES ('f', 0, 0, 2, 'v1', 1000000, 1000000, 1, 0, 0, 1, 0);
"""
FORMER_INDEXES = """
CREATE INDEX failed_event_by_state ON failed_event (state, flow, partition, "offset");
CREATE INDEX failed_event_by_due ON failed_event (due, flow, partition, "offset")
WHERE state = 'parked' AND due IS NOT NULL;
CREATE INDEX failed_event_by_event_id ON failed_event (event_id);
CREATE INDEX failed_event_by_key ON failed_event (flow, partition, key, "offset")
WHERE state = 'parked' AND key IS NOT NULL;
"""

SECOND = """
DROP TABLE failed_event_count;
DROP INDEX failed_event_by_since;
DROP INDEX failed_event_by_fingerprint;
DROP INDEX failed_event_by_due;
CREATE INDEX failed_event_by_due ON failed_event (due, flow, partition, "offset")
WHERE state = 'parked' AND due IS NOT NULL;
CREATE INDEX failed_event_by_fingerprint
ON failed_event (state, flow, fingerprint, partition, "offset", error, since);
"""


def shape(path: Path) -> dict[str, list[str]]:
    """Return the columns of each table, and the indexes."""
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        found: dict[str, list[str]] = {}
        made = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema"
        for kind, name, statement in list(connection.execute(made)):
            if kind == "table":
                columns = connection.execute(f"PRAGMA table_info({name})")
                found[name] = sorted(str(column[1:]) for column in columns)
            else:
                found[name] = str(statement).split()
        return found


async def former(settings: Settings) -> dict[str, list[str]]:
    """Make a directory as the first format had it; return the shape of the present one."""
    await (await open_stores(settings)).close()
    present = shape(settings.data / "ledger.db")
    with contextlib.closing(apsw.Connection(str(settings.data / "ledger.db"))) as connection:
        for table in ("failed_event", "resolved_event", "audit", "failed_event_count"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("worker", "fencing_token"):
            connection.execute(f"ALTER TABLE lane DROP COLUMN {column}")
        connection.execute(FORMER_TROUBLE)
        connection.execute(FORMER_INDEXES)
        connection.execute(FORMER_ROWS)
        connection.pragma("user_version", 1)
    with contextlib.closing(apsw.Connection(str(settings.data / "log.db"))) as connection:
        connection.pragma("user_version", 1)
    return present


async def test_the_first_format_is_upgraded_with_what_it_holds(settings: Settings) -> None:
    present = await former(settings)
    for _ in range(2):
        stores = await open_stores(settings)
        at = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
        failures = (Failure(1, at, "step", "E", "r"),)
        expected = FailedEvent("f", 0, 1, b"{}", "e1", "dead", at, 1, None, None, failures)
        assert list(await stores.ledger.failed_events(FailedEventQuery())) == [expected]
        assert [lane.cursor for lane in await stores.ledger.lanes()] == [2]
        await stores.close()
    assert shape(settings.data / "ledger.db") == present
    for name in ("ledger.db", "log.db"):
        with contextlib.closing(apsw.Connection(str(settings.data / name))) as connection:
            assert connection.pragma("user_version") == FORMAT_VERSION


async def test_a_move_reads_the_first_format_and_leaves_it_as_it_is(settings: Settings) -> None:
    await former(settings)
    before = {name: (settings.data / name).read_bytes() for name in ("ledger.db", "log.db")}
    origin = await SqliteMoveOrigin.open(settings.data)
    sizes = await origin.ledger.sizes()
    assert [sizes[kind] for kind in ("lanes", "failed_events", "settled_ranges")] == [1, 1, 1]
    (trouble,) = (await origin.ledger.export(bookmark("failed_events"), 1_000)).records
    assert isinstance(trouble, FailedEvent)
    assert (trouble.event_id, trouble.error) == ("e1", "")
    await origin.close()
    assert {name: (settings.data / name).read_bytes() for name in before} == before
    stores = await open_stores(settings)
    assert [lane.cursor for lane in await stores.ledger.lanes()] == [2], "it is free to be used"
    await stores.close()


async def test_an_upgrade_that_cannot_be_written_is_done_later(settings: Settings) -> None:
    present = await former(settings)
    ledger = settings.data / "ledger.db"
    before = shape(ledger)
    with small_files(40_960), pytest.raises(StoreError) as refused:
        await open_stores(settings)
    assert not isinstance(refused.value, StoreCorrupted), "nothing has to be restored"
    assert "look at the disk" in str(refused.value)
    assert shape(ledger) == before
    stores = await open_stores(settings)
    assert len(await stores.ledger.failed_events(FailedEventQuery())) == 1
    await stores.close()
    assert shape(ledger) == present


def bookmark(kind: RecordKind) -> Bookmark:
    """Return the bookmark before all of a kind."""
    found = next_bookmark(RECORD_KINDS[RECORD_KINDS.index(kind) - 1])
    assert found is not None
    return found


async def test_the_second_format_is_upgraded_and_its_troubles_are_counted(
    settings: Settings,
) -> None:
    stores = await open_stores(settings)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    troubles = tuple(
        FailedEvent(
            "f", 0, offset, b"{}", f"e{offset}", "dead", at, 1, error="E", fingerprint=cause
        )
        for offset, cause in enumerate(("one", "one", "two"))
    )
    await stores.ledger.open_lane("f", 0, 0)
    settlement = Settlement("f", 0, 0, 3, at, "v1", Counts(dead=3), troubles)
    assert await stores.ledger.settle([settlement]) == [True]
    await stores.close()
    present = shape(settings.data / "ledger.db")
    with contextlib.closing(apsw.Connection(str(settings.data / "ledger.db"))) as connection:
        connection.execute(SECOND)
        connection.pragma("user_version", 2)
    for left in (2, 1):
        stores = await open_stores(settings)
        found = {
            group.fingerprint: group.count
            for group in await stores.ledger.failed_event_groups(FailedEventQuery())
        }
        assert found == {"one": left, "two": 1}
        verdict = Resolution("f", 0, left - 1, 1, "dead", "discarded", at)
        assert await stores.ledger.resolve([verdict]) == [True]
        await stores.close()
    assert shape(settings.data / "ledger.db") == present
