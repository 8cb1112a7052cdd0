"""The way to the server of an address that takes writes now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from busway.engine.postgres.address import Address, Host

CONNECT_S = 10.0
IDLE_MS = 10_000
"""How long a transaction may wait for its next statement."""
_EACH_S = 4.0
"""How long one of several servers may take to answer: one whose machine is away never does."""
_ALL_S = 9.0
"""How long all of them may take, so that the last one is reached while somebody still waits."""
_PASSED_OVER = (
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
        "idle_in_transaction_session_timeout": str(IDLE_MS),
    }


class Way:
    """Connects; of several servers it tries the one first that it came to last."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._hosts: Sequence[Host] = address.hosts

    async def connect(self, *_: object, **given: Any) -> Session:
        """Connect to the first server that answers and takes writes; raises the driver's errors."""
        if len(self._hosts) > 1:
            return await self._connect_to_one(given)
        session: Session = await asyncpg.connect(
            self.address.url, **({"timeout": CONNECT_S} | given)
        )
        return session

    async def _connect_to_one(self, given: dict[str, Any]) -> Session:
        failed: list[BaseException] = []
        given = given | {"timeout": min(_EACH_S, _ALL_S / len(self._hosts))}
        for host in self._hosts:
            where: dict[str, Any] = {"host": host[0], "port": host[1]}
            try:
                session: Session = await asyncpg.connect(self.address.url, **where, **given)
            except _PASSED_OVER as error:
                failed.append(error)
            else:
                self._hosts = [host, *(one for one in self._hosts if one != host)]
                return session
        read_only = [e for e in failed if isinstance(e, asyncpg.TargetServerAttributeNotMatched)]
        raise (read_only or failed)[0]
