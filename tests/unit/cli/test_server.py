"""A start that is to stop before it is done."""

from __future__ import annotations

import asyncio

import pytest

from busway.cli.server import wait_unless_stopped
from busway.errors import BuswayError


async def test_what_fails_because_all_are_to_stop_is_not_said() -> None:
    stop = asyncio.Event()

    async def fails() -> None:
        stop.set()
        raise BuswayError("a worker did not start: it was killed by SIGTERM")

    await wait_unless_stopped(stop, fails())


async def test_what_fails_by_itself_is_said() -> None:
    async def fails() -> None:
        raise BuswayError("it cannot start")

    with pytest.raises(BuswayError, match="it cannot start"):
        await wait_unless_stopped(asyncio.Event(), fails())


async def test_who_is_to_stop_waits_for_nothing() -> None:
    stop = asyncio.Event()
    stop.set()

    async def hangs() -> None:
        await asyncio.Event().wait()

    await wait_unless_stopped(stop, hangs())
