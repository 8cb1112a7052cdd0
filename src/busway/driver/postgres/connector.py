"""The way to the server of an address that takes writes now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from busway.driver.postgres.address import Host, PostgresAddress

CONNECT_TIMEOUT_S = 10.0
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
"""How long a transaction may wait for its next statement."""
_HOST_TIMEOUT_S = 4.0
"""How long one of several servers may take to answer: one whose machine is away never does."""
_ALL_HOSTS_TIMEOUT_S = 9.0
"""How long all of them may take, so that the last one is reached while somebody still waits."""
_TRY_NEXT_HOST_ERRORS = (
    *(OSError, TimeoutError),
    *(asyncpg.TargetServerAttributeNotMatched, asyncpg.CannotConnectNowError),
)

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]
else:
    Session = object


def session_settings(schema: str) -> Mapping[str, str]:
    """Return what every session that uses the tables has, whatever the database and the user have.

    The statements are written for ``read committed``: who waited for a row sees it as it is now.
    """
    return {
        "application_name": "busway",
        "search_path": schema,
        "default_transaction_isolation": "read committed",
        "jit": "off",
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    }


class Connector:
    """Connects; of several servers it tries the one first that it came to last."""

    def __init__(self, address: PostgresAddress) -> None:
        self.address = address
        self._hosts: Sequence[Host] = address.hosts

    async def connect(self, *_: object, **options: Any) -> Session:
        """Connect to the first server that answers and takes writes; raises the driver's errors."""
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
            where: dict[str, Any] = {"host": host[0], "port": host[1]}
            try:
                session: Session = await asyncpg.connect(self.address.url, **where, **options)
            except _TRY_NEXT_HOST_ERRORS as error:
                failed.append(error)
            else:
                self._hosts = [host, *(one for one in self._hosts if one != host)]
                return session
        read_only = [e for e in failed if isinstance(e, asyncpg.TargetServerAttributeNotMatched)]
        raise (read_only or failed)[0]
