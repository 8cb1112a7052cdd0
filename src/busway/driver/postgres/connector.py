"""Connect to the server of an address that accepts writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from busway.driver.postgres.address import Host, PostgresAddress
from busway.driver.postgres.session import APPLICATION_NAME, CONNECT_TIMEOUT_S, Session

IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
"""How long a transaction may wait for its next statement before the server terminates it."""
_HOST_TIMEOUT_S = 4.0
"""How long one of several servers may take to respond: one whose machine is down never does."""
_ALL_HOSTS_TIMEOUT_S = 9.0
"""How long all of them may take, so that the last one is tried before the caller gives up."""
_TRY_NEXT_HOST_ERRORS = (
    *(OSError, TimeoutError),
    *(asyncpg.TargetServerAttributeNotMatched, asyncpg.CannotConnectNowError),
)


def session_settings(schema: str) -> Mapping[str, str]:
    """Return the settings of every session that uses the tables; they override those of the
    database and the user.

    The statements are written for ``read committed``: after waiting for a row they see its newest
    version.
    """
    return {
        "application_name": APPLICATION_NAME,
        "search_path": schema,
        "default_transaction_isolation": "read committed",
        "jit": "off",
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    }


class Connector:
    """Connects to a server; of several it first tries the one that it connected to last."""

    def __init__(self, address: PostgresAddress) -> None:
        self.address = address
        self._hosts: Sequence[Host] = address.hosts

    async def connect(self, *_: object, **options: Any) -> Session:
        """Connect to the first server that responds and accepts writes; raises asyncpg's errors."""
        if len(self._hosts) > 1:
            return await self._connect_to_any(options)
        session: Session = await asyncpg.connect(
            self.address.url, **({"timeout": CONNECT_TIMEOUT_S} | options)
        )
        return session

    async def _connect_to_any(self, options: dict[str, Any]) -> Session:
        failed: list[BaseException] = []
        options = options | {
            "timeout": min(_HOST_TIMEOUT_S, _ALL_HOSTS_TIMEOUT_S / len(self._hosts))
        }
        for host in self._hosts:
            try:
                session: Session = await asyncpg.connect(
                    self.address.url, **host._asdict(), **options
                )
            except _TRY_NEXT_HOST_ERRORS as error:
                failed.append(error)
            else:
                self._hosts = [host, *(other for other in self._hosts if other != host)]
                return session
        read_only = [e for e in failed if isinstance(e, asyncpg.TargetServerAttributeNotMatched)]
        raise (read_only or failed)[0]
