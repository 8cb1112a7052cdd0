"""Both event loops: the intake runs on uvloop, and must not depend on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from intake_client import HASTY, SMALL, Desk, serving


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with serving() as running:
        yield running


@pytest.fixture
async def small() -> AsyncIterator[Desk]:
    """A server with small limits."""
    async with serving(SMALL) as running:
        yield running


@pytest.fixture
async def hasty() -> AsyncIterator[Desk]:
    """A server with little patience."""
    async with serving(HASTY) as running:
        yield running
