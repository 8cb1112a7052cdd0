"""Long queries, asked in threads of their own so that the loop goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock

import apsw

from busway.engine.sqlite.database import Row, connect_reading, translated


class Aside:
    """Reads one database on connections that are kept between two queries.

    A connection reads the schema and fills its cache at its first query; a job asks one a page.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._free: list[apsw.Connection] = []
        self._closed = False

    async def rows(self, statement: str, bindings: Row = ()) -> list[Row]:
        """Return all rows that a statement finds."""
        return await asyncio.to_thread(self._rows, statement, bindings)

    def close(self) -> None:
        """Close what no query is using; what one is using is closed after it."""
        with self._lock:
            self._closed = True
            for connection in self._free:
                connection.close()
            self._free.clear()

    def _rows(self, statement: str, bindings: Row) -> list[Row]:
        connection = self._taken() or connect_reading(self._path)
        try:
            return connection.execute(statement, bindings).fetchall()
        except apsw.Error as error:
            raise translated(error, self._path) from error
        finally:
            self._give_back(connection)

    def _taken(self) -> apsw.Connection | None:
        with self._lock:
            return self._free.pop() if self._free else None

    def _give_back(self, connection: apsw.Connection) -> None:
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._free.append(connection)
