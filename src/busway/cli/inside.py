"""The API in this process, on a data directory that no other process has open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, cast

import httpx2

from busway.api.app import inside
from busway.cli.ask import Ask, check
from busway.cli.http_request import TIMEOUT, made
from busway.cli.sse import lines_of
from busway.clock import SystemClock
from busway.control.clock_record import boot_id, expected_time
from busway.control.context import ControlContext
from busway.engine.registry import open_existing
from busway.settings import Settings

_URL = "http://127.0.0.1"


class Inside:
    """Holds the directory until it is closed; raises :class:`StoreLocked` when another has it."""

    live = False

    def __init__(self, settings: Settings, user: str) -> None:
        self._runner = asyncio.Runner()
        try:
            self._stores = self._runner.run(open_existing(settings))
        except BaseException:
            self._runner.close()
            raise
        stores = self._stores
        clock = SystemClock()
        time = self._runner.run(expected_time(stores.ledger, clock, boot_id()))
        if time is not None:  # a pause for an hour ends by the clock of whoever obeys it
            clock.continue_from(time)
        control = ControlContext(
            log=stores.log, ledger=stores.ledger, shared=stores.is_shared, clock=clock
        )
        app = cast(Any, inside(lambda: control, user))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx2.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False)

    @property
    def alone(self) -> bool:
        return not self._stores.is_shared

    def ask(self, request: Ask) -> httpx2.Response:
        return self._runner.run(self._http.send(made(self._http, _URL, request)))

    @contextlib.contextmanager
    def lines(self, request: Ask) -> Iterator[Iterator[str]]:
        yield lines_of([check(self.ask(request)).content])

    def close(self) -> None:
        try:
            self._runner.run(self._end())
        finally:
            self._runner.close()

    async def _end(self) -> None:
        await self._http.aclose()
        await self._stores.close()
