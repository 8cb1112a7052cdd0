"""A client of the API in this process, on stores that this process opens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, cast

import httpx2

from busway.api.app import create_in_process
from busway.cli.api_request import ApiRequest, raise_for_problem
from busway.cli.event_stream import stream_lines
from busway.cli.http_request import TIMEOUT, build_request
from busway.clock import SystemClock
from busway.control.clock_record import boot_id, expected_time
from busway.control.context import ControlContext
from busway.engine.registry import open_existing
from busway.settings import Settings

_URL = "http://127.0.0.1"


class InProcessClient:
    """Keeps the stores open until it is closed.

    Raises :class:`StoreLocked` if another process has the data directory open.
    """

    has_server = False

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
        if time is not None:  # a pause of an hour ends by the clock of the process that delivers
            clock.continue_from(time)
        control = ControlContext(
            log=stores.log, ledger=stores.ledger, shared=stores.is_shared, clock=clock
        )
        app = cast(Any, create_in_process(lambda: control, user))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx2.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False)

    @property
    def is_exclusive(self) -> bool:
        return not self._stores.is_shared

    def send(self, request: ApiRequest) -> httpx2.Response:
        return self._runner.run(self._http.send(build_request(self._http, _URL, request)))

    @contextlib.contextmanager
    def lines(self, request: ApiRequest) -> Iterator[Iterator[str]]:
        yield stream_lines([raise_for_problem(self.send(request)).content])

    def close(self) -> None:
        try:
            self._runner.run(self._close_all())
        finally:
            self._runner.close()

    async def _close_all(self) -> None:
        await self._http.aclose()
        await self._stores.close()
