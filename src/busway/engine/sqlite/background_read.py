"""Run long queries in threads, so that they do not block the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock

import apsw

from busway.engine.sqlite.database import Row, connect_read_only, to_store_error


class BackgroundReader:
    """Reads one database on connections that stay open between queries.

    A new connection has to read the schema and fill its cache first; a job runs a query per page.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._idle: list[apsw.Connection] = []
        self._closed = False

    async def fetch(self, statement: str, bindings: Row = ()) -> list[Row]:
        """Return all rows that a statement finds."""
        return await asyncio.to_thread(self._fetch, statement, bindings)

    def close(self) -> None:
        """Close idle connections; a connection in use is closed after its query."""
        with self._lock:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _fetch(self, statement: str, bindings: Row) -> list[Row]:
        connection = self._take_idle() or connect_read_only(self._path)
        try:
            return connection.execute(statement, bindings).fetchall()
        except apsw.Error as error:
            raise to_store_error(error, self._path) from error
        finally:
            self._return(connection)

    def _take_idle(self) -> apsw.Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _return(self, connection: apsw.Connection) -> None:
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)
