"""Workers are started again for as long as it takes."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.clock import SystemClock
from busway.errors import BuswayError
from busway.runtime.process.supervisor import Supervisor, WorkerCommand, restart_delay_s
from busway.testing import MemoryLedger


@given(st.integers(min_value=1, max_value=10**6))
def test_a_pause_is_longer_with_each_failure_and_never_too_long(failures: int) -> None:
    assert 0.5 <= restart_delay_s(failures) <= restart_delay_s(failures + 1) <= 5.0


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_place_is_not_given_up_where_no_process_can_be_started() -> None:
    supervisor = Supervisor(1, WorkerCommand(["true"], os.environ), SystemClock())
    with no_descriptor_left():
        with pytest.raises(BuswayError, match=r"did not start.*Too many open files"):
            async with asyncio.timeout(30):
                await supervisor.start(MemoryLedger(), None)
        assert not supervisor.workers
    assert await supervisor.stop(30)
